/**
 * Commands write to a disk that is too small: a memory disk where the system allows to mount one, else a limit on the size of files.
 * They must end with a message that says so and leave only whole files, and go on as if nothing had been once there is room.
 */
import { spawnSync } from 'node:child_process';
import { age, runCommand, turns } from './commands.mjs';

/** True where the size of files can be limited. */
const LIMITS = process.platform !== 'win32';

/** Memory disks that are mounted, for an end in the middle of a round. */
const mounts = new Set();
process.once('exit', () => mounts.forEach(unmount));
function unmount(folder) {
  mounts.delete(folder);
  spawnSync('umount', ['-l', folder]);
}

/** Mounts a memory disk of `kib` KiB, or sets the size of the one there. False if this system does not allow it. */
const memoryDisk = (folder, kib, ...more) => {
  const options = ['-t', 'tmpfs', '-o', [...more, `size=${kib}k`].join(','), 'aim-soak', folder];
  const mounted = process.platform === 'linux' && spawnSync('mount', options).status === 0;
  if (mounted) mounts.add(folder);
  return mounted;
};

export const fullDisk = {
  name: 'full-disk',
  limit: 600,
  share: 16,
  async run(context) {
    for await (const { name, place, options, sound, check, complete } of turns(context)) {
      const sizes = [...sound.files.values()].map((bytes) => bytes.length / 1024);
      const most = context.chance(0.7) ? sizes.reduce((a, b) => a + b) * 1.3 : Math.max(...sizes);
      const kib = 4 + context.int(most);
      const mounted = context.chance(0.7) && memoryDisk(place, kib);
      if (mounted) context.defer(() => unmount(place));
      else if (!LIMITS) {
        context.count('no way to make a small disk');
        continue;
      }
      const { status, output } = await runCommand(name, place, { ...options, ...(!mounted && { blocks: kib }) });
      const said = /the disk is full; free|raise the limit \(ulimit -f\)/.test(output);
      context.count(status === 0 ? `${name} fitted` : `${name} ${mounted ? 'full' : 'limited'}`);
      if (status !== 0 && !(status === 2 && said)) context.finding(`aim ${name} with ${kib} KiB ended with ${status}: ${output}`);
      const limit = `${kib} KiB (${mounted ? 'memory disk' : 'ulimit -f'})`;
      await check('stopped', `with ${limit}`);
      await age(place, context.library);
      if (mounted) memoryDisk(place, 200_000, 'remount');
      await complete(await runCommand(name, place, options), `run again after ${limit}`);
    }
  },
};
