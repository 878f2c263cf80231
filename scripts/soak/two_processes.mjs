/** Two or three processes load one model through one cache from a hub with temporary faults. All must get the right weights. */
import { faultyHub, makeCheckpoint } from './server.mjs';

export const twoProcesses = {
  name: 'two-processes',
  limit: 180,
  share: 5,
  async run(context) {
    const checkpoint = await makeCheckpoint(context, 9 + context.int(16), 1 + context.int(1000));
    const server = await faultyHub(context, checkpoint.files);
    server.delay = context.int(20);
    const children = [];
    for (let n = 2 + context.int(2); n > 0; n--) {
      children.push(context.start(`${server.url}/m`, context.folder));
      await new Promise((done) => setTimeout(done, context.int(300)));
    }
    for (const output of await Promise.all(children.map(({ ended }) => ended))) {
      if (output === `loaded ${checkpoint.values}`) context.count('loaded');
      else context.finding(`a process printed: ${output}`);
    }
    context.count('requests', server.requests);
  },
};
