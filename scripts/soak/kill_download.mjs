/** A process is killed (SIGKILL) at random moments of a download. The next process must continue and get the right weights. */
import { faultyHub, makeCheckpoint } from './server.mjs';

export const killDownload = {
  name: 'kill-download',
  limit: 180,
  share: 5,
  async run(context) {
    const checkpoint = await makeCheckpoint(context, 9 + context.int(24), 1 + context.int(1000));
    const server = await faultyHub(context, checkpoint.files);
    server.delay = 5 + context.int(30);
    for (let n = 1 + context.int(3); n > 0; n--) {
      const child = context.start(`${server.url}/m`, context.folder);
      await child.started;
      await new Promise((done) => setTimeout(done, context.int(600)));
      child.kill();
      context.count((await child.ended).startsWith('loaded') ? 'ended before' : 'killed');
    }
    server.delay = 0;
    const output = await context.start(`${server.url}/m`, context.folder).ended;
    if (output === `loaded ${checkpoint.values}`) context.count('loaded');
    else context.finding(`the process after it printed: ${output}`);
    const cached = await context.library.cachedFiles({ cacheDir: context.folder });
    if (!cached.every(({ complete }) => complete)) context.finding(`the cache holds ${JSON.stringify(cached)}`);
  },
};
