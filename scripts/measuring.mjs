/** What the commands share that measure models: `npm run quality` and `npm run sharpness`. */
import { parseArgs } from 'node:util';
import { build, install } from './setup.mjs';

export const note = (text) => process.stderr.write(`${text}\n`);

/** Prints the help, or builds and calls `work` with the options and positional arguments. A mistake of the user ends with status 2. */
export async function measuring(help, options, work) {
  try {
    const { values, positionals } = parseArgs({ options: { ...options, help: { type: 'boolean' } }, allowPositionals: true });
    if (values.help) return void process.stdout.write(help);
    install();
    build();
    await work(values, positionals);
  } catch (error) {
    if (!error.code?.startsWith('ERR_')) throw error;
    note(error.message);
    process.exitCode = 2;
  }
}

/** Formats columns of text next to each other. The first is aligned to the left, the others to the right. */
export function table(columns) {
  const widths = columns.map((cells) => Math.max(...cells.map((cell) => cell.length)));
  const line = (row) => columns.map((cells, i) => (i ? cells[row].padStart(widths[i]) : cells[row].padEnd(widths[i]))).join('  ');
  return columns[0].map((_, row) => `${line(row)}\n`).join('');
}
