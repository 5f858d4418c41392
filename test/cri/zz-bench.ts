import { startAmphipod } from './support/amphipod.ts';

await using server = await startAmphipod({ dir: '/tmp/st1000/srv' });
const p = async (f: (i: number) => Promise<unknown>) => {
  const ts: number[] = [];
  for (let i = 0; i < 200; i++) {
    const s = performance.now();
    await f(i);
    ts.push(performance.now() - s);
  }
  ts.sort((a, b) => a - b);
  return [ts[100], ts[190]].map((x) => x!.toFixed(3)).join(' / ');
};
for (let r = 0; r < 2; r++) {
  console.log(
    'ListImages',
    await p(() => server.cri.listImages({})),
    'n',
    (await server.cri.listImages({})).images.length,
  );
  console.log(
    'ImageStatus',
    await p((i) => server.cri.imageStatus({ image: { image: `registry.example.com/team/app-${i}:v1` } })),
  );
  console.log(
    'ImageStatus verbose',
    await p((i) =>
      server.cri.imageStatus({ image: { image: `registry.example.com/team/app-${i}:v1` }, verbose: true }),
    ),
  );
  console.log('Version', await p(() => server.cri.version({})));
}
