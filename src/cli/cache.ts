/** `aim cache`: what downloads are kept, and removing them. */
import { cachedFiles, clearCache } from '../checkpoint/cached_files.js';
import { type Flags, helpText, parse } from './options.js';

const FLAGS: Flags = {
  clear: { type: 'boolean', help: 'remove them' },
  help: { type: 'boolean', help: 'this text' },
};

const HELP = helpText(
  'aim cache [MODEL] [options]',
  'Lists the files kept of models that were downloaded; with MODEL (a repository id or the beginning of a URL) those of that.\n' +
    'They are in the folder AIM_CACHE, else aim-js in the user’s cache folder.',
  FLAGS,
);

export async function cacheCommand(argv: string[]): Promise<number> {
  const { flags, args } = parse('cache', argv, FLAGS);
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const about = args[0] === undefined ? {} : { model: args[0] };
  const files = await cachedFiles(about);
  for (const { url, bytes, complete } of files)
    process.stdout.write(`${(bytes / 1e6).toFixed(1).padStart(9)} MB  ${url}${complete ? '' : ' (in part)'}\n`);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  if (flags.clear) await clearCache(about);
  process.stderr.write(`${files.length} files, ${(total / 1e6).toFixed(1)} MB${flags.clear ? ', removed' : ''}\n`);
  return 0;
}
