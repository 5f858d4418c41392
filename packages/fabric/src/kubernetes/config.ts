/** What proves to an API server who we are, and whose certificate is the server's. */
export interface KubernetesCredentials {
  /** PEM: authorities of the server's certificate; the system's own when not given. */
  ca?: string;
  /** PEM, both or neither. */
  cert?: string;
  key?: string;
  token?: string;
}

/** How to reach a Kubernetes API server, and as whom. */
export interface KubernetesConfig {
  /** May have a path, behind which the API begins. */
  readonly server: URL;
  /** The name in the server's certificate when it is another than that in the address. */
  readonly tlsServerName?: string;
  /** Any certificate will do. */
  readonly skipTlsVerify: boolean;
  /**
   * Files are read at each call: tokens and certificates are replaced while we run.
   * @throws FabricError `invalid-config`, naming key and file
   */
  credentials(): KubernetesCredentials;
}
