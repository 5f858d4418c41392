import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A certificate that signs itself, and its key: paths, and their text. */
export interface TestCertificate {
  certificate: string;
  key: string;
  pem: { cert: string; key: string };
}

/**
 * Makes a certificate with openssl in `dir`.
 * @param subjectAltName `IP:127.0.0.2`, `DNS:registry.example`
 */
export function makeCertificate(dir: string, subjectAltName: string): TestCertificate {
  const name = `${dir}/${subjectAltName.replace(/[^A-Za-z0-9.]/g, '_')}`;
  const [certificate, key] = [`${name}.crt`, `${name}.key`];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=tests', '-addext', `subjectAltName=${subjectAltName}`];
  execFileSync('openssl', ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', certificate], {
    stdio: 'ignore',
  });
  return {
    certificate,
    key,
    pem: { cert: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8') },
  };
}
