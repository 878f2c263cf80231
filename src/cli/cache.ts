/** `aim cache`: lists and removes cached downloads. */
import { cachedFiles, clearCache } from '../checkpoint/cached_files.js';
import type { Command, Flags, Parsed } from './command.js';
import { print, say } from './terminal.js';

const FLAGS: Flags = {
  clear: { type: 'boolean', help: 'remove them' },
};

export const cache: Command = {
  name: 'cache',
  usage: '[MODEL]',
  summary: 'downloads that are kept; --clear removes them',
  about:
    'Lists the files kept of models that were downloaded; with MODEL (a repository id or the beginning of a URL) those of that.\n' +
    'They are in the folder AIM_CACHE, else aim-js in the user’s cache folder.',
  flags: FLAGS,
  run,
};

async function run({ flags, args }: Parsed): Promise<number> {
  const about = args[0] === undefined ? {} : { model: args[0] };
  const files = await cachedFiles(about);
  for (const { url, bytes, complete } of files)
    print(`${(bytes / 1e6).toFixed(1).padStart(9)} MB  ${url}${complete ? '' : ' (in part)'}\n`);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  if (flags.clear) await clearCache(about);
  say(`${files.length} files, ${(total / 1e6).toFixed(1)} MB${flags.clear ? ', removed' : ''}\n`);
  return 0;
}
