/** Two or three processes train into one run folder. One of them trains, the others say that the folder is in use. */
import { mkdir } from 'node:fs/promises';
import { faults, runCommand, soundRuns } from './commands.mjs';
import { modelHub } from './server.mjs';

export const twoRuns = {
  name: 'two-runs',
  limit: 300,
  share: 6,
  async run(context) {
    const server = await modelHub(context);
    const { inputs, runs } = await soundRuns(server.url);
    const place = `${context.folder}/place`;
    await mkdir(place);
    // A run that is resumed has been stopped before its end.
    if (context.chance(0.5)) {
      await runCommand('train', place, {
        inputs,
        started: (child) => setTimeout(() => child.kill('SIGTERM'), runs.train.ms * (0.5 + context.random() / 2)),
      });
      context.count('resumed');
    }
    const processes = [];
    for (let n = 2 + context.int(2); n > 0; n--) {
      processes.push(runCommand('train', place, { inputs }));
      await new Promise((done) => setTimeout(done, context.int(400)));
    }
    const ended = await Promise.all(processes);
    for (const { status, output } of ended) {
      context.count(status === 0 ? 'trained' : 'refused');
      const refused = status === 2 && /is in use|holds a run already/.test(output);
      if (status !== 0 && !refused) context.finding(`a process ended with ${status}: ${output}`);
    }
    if (!ended.some(({ status }) => status === 0)) context.finding('no process trained');
    for (const fault of await faults('train', place, runs.train, 'complete', context.library)) context.finding(fault);
  },
};
