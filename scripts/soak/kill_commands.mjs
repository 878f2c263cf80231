/**
 * Commands are killed (SIGKILL) or stopped (SIGTERM) at random moments, some of them when they write. What is on disk after it must
 * be whole, and the same command must then go on and end with what it gives undisturbed, and leave nothing else.
 */
import { watch } from 'node:fs';
import { age, runCommand, turns } from './commands.mjs';

export const killCommands = {
  name: 'kill-commands',
  limit: 600,
  share: 26,
  async run(context) {
    for await (const { server, name, place, options, sound, check, complete } of turns(context)) {
      server.delay = 30;
      let hasLeft = false;
      for (let n = 1 + context.int(3); n > 0; n--) {
        const signal = context.pick(['SIGKILL', 'SIGKILL', 'SIGTERM']);
        const { status, output } = await runCommand(name, place, {
          ...options,
          started: (child) => disturb(context, child, place, signal, sound.ms),
        });
        const expected = signal === 'SIGKILL' ? ['SIGKILL'] : ['SIGTERM', 143];
        context.count(status === 0 ? `${name} ended before` : `${name} ${signal}`);
        if (status === 143 && !/aim: interrupted/.test(output)) context.finding(`aim ${name} said after SIGTERM: ${output}`);
        if (status !== 0 && !expected.includes(status))
          context.finding(`aim ${name} ended with ${status} after ${signal}: ${output}`);
        // A command that is stopped early has not yet removed what one that was killed left.
        hasLeft ||= status !== 143;
        await check(hasLeft ? 'killed' : 'stopped', `after ${signal}`);
        await age(place, context.library);
      }
      server.delay = 0;
      await complete(await runCommand(name, place, options), 'run again after kills');
    }
  },
};

/** Sends the signal at a random moment of the command's time, or when it writes. */
function disturb(context, child, place, signal, ms) {
  const kill = () => child.kill(signal);
  const timers = [setTimeout(kill, context.int(ms))];
  let watcher;
  if (context.chance(0.6)) {
    clearTimeout(timers[0]);
    let left = 1 + context.int(12);
    const pause = context.int(15);
    watcher = watch(place, { recursive: true }, () => {
      if (--left === 0) timers.push(setTimeout(kill, pause));
    });
    watcher.on('error', () => {});
  }
  child.once('close', () => {
    for (const timer of timers) clearTimeout(timer);
    watcher?.close();
  });
}
