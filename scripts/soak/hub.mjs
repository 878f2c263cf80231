/**
 * A hub that cuts off, stalls, sends wrong data, redirects, answers with errors, web pages and gzip, and changes its file.
 * Loading must give the right weights or a typed error in bounded time. Then loading from a hub without faults, with the same
 * cache, must give the right weights.
 */
import { isTyped } from './context.mjs';
import { faultyHub, makeCheckpoint } from './server.mjs';

const LOADS = 4;

export const hub = {
  name: 'hub',
  limit: 240,
  share: 5,
  async run(context) {
    const { library, folder } = context;
    Object.assign(library.timing, { pauses: [1, 2, 4, 8], idle: 300, answer: 300, version: 300 });
    const versions = [await makeCheckpoint(context, 9, 1 + context.int(1000)), await makeCheckpoint(context, 9, 1001)];
    const server = await faultyHub(context, { ...versions[0].files });
    // If the server gives a wrong length or type, web pages and partial files cannot always be recognised without a hash.
    const sha256 = (i) => library.sha256(versions[i].weights);
    let current = 0;
    for (let i = 0; i < LOADS; i++) {
      server.faults = context.random() * 0.6;
      if (context.chance(0.2)) Object.assign(server.files, versions[(current = 1 - current)].files);
      await attempt(
        context,
        server,
        { sha256: context.chance(0.5) ? sha256(current) : undefined, cache: context.chance(0.9) },
        versions,
      );
    }
    server.faults = 0;
    const values = await library.load(`${server.url}/m`, { cacheDir: folder, onWarning() {} }).catch((error) => error);
    if (values !== versions[current].values) context.finding(`an honest hub and the same cache gave ${values?.stack ?? values}`);
    else context.count('healed');
  },
};

async function attempt(context, server, options, versions) {
  const begun = Date.now();
  try {
    const signal = AbortSignal.timeout(60_000);
    const values = await context.library.load(`${server.url}/m`, {
      cacheDir: context.folder,
      signal,
      onWarning() {},
      ...options,
    });
    if (versions.some((version) => version.values === values)) context.count('loaded');
    else context.finding('wrong weights were loaded');
  } catch (error) {
    if (isTyped(error)) context.count('typed error');
    else context.finding(`after ${Date.now() - begun} ms: ${error.stack}`);
  }
}
