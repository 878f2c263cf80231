/** Writes the measurements as JSON, in a file that is valid at any time, and as tables. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Profile } from '../../backend/backend.js';
import { ensureWritable, writeAtomic } from '../../platform/files.js';
import { runtime } from '../../platform/runtime.js';
import { escaped, print, say } from '../terminal.js';

export type Row = Record<string, string | number>;

export class Report {
  private readonly about: Row = {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    runtime: `${runtime().name} ${runtime().version}`,
    cpu: cpus()[0]?.model ?? '',
  };
  private readonly tables: Record<string, Row[]> = {};
  private readonly profiles: Record<string, Row[]> = {};

  /** @param file for the JSON; `-` is the terminal, instead of tables. */
  private constructor(private readonly file: string | undefined) {}

  /** Throws IoError where the file cannot be written: now, not when all is measured. */
  static async open(file: string | undefined): Promise<Report> {
    if (file !== undefined && file !== '-') await ensureWritable(file);
    return new Report(file);
  }

  /** Reference values with which the rows are compared. */
  head(about: Row): void {
    Object.assign(this.about, about);
  }

  /** Adds a row, and the time by op measured with it. */
  async add(table: string, row: Row, profile?: { of: string; ops: Profile }): Promise<void> {
    this.tables[table] ??= [];
    this.tables[table].push(row);
    if (profile) this.profiles[profile.of] = shares(profile.ops);
    if (!process.stderr.isTTY) say(`${table}: ${JSON.stringify(row)}\n`);
    await this.save(false);
  }

  /** Shows the current measurement on a terminal. */
  note(text: string): void {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${escaped(text).slice(0, (process.stderr.columns || 80) - 1)}`);
  }

  /** Prints all rows measured so far. @param complete False after a failure or Ctrl-C. */
  async close(complete: boolean): Promise<void> {
    this.note('');
    if (!complete && Object.keys(this.tables).length === 0) return;
    print(this.file === '-' ? this.json(complete) : this.text());
    await this.save(complete);
  }

  private async save(complete: boolean): Promise<void> {
    if (this.file !== undefined && this.file !== '-') await writeAtomic(this.file, Buffer.from(this.json(complete)));
  }

  private json(complete: boolean): string {
    const { about, tables, profiles } = this;
    return `${JSON.stringify({ about, complete, tables, ...(Object.keys(profiles).length && { profiles }) }, null, 1)}\n`;
  }

  private text(): string {
    const width = Math.max(...Object.keys(this.about).map((key) => key.length));
    const lines = Object.entries(this.about).map(([key, value]) => `${key.padEnd(width)} ${value}`);
    for (const [name, rows] of Object.entries({ ...this.tables, ...this.profiles })) lines.push('', name, ...aligned(rows));
    return `${lines.join('\n')}\n`;
  }
}

/** Commit of the working copy, marked if it has changes; else the package's version. AIM_COMMIT is for copies without git. */
function commit(): string {
  if (process.env.AIM_COMMIT) return process.env.AIM_COMMIT;
  const manifest = fileURLToPath(new URL('../package.json', import.meta.url));
  const git = (...args: string[]) => spawnSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' });
  // An installed package may lie inside another project's checkout, whose commit says nothing about this code.
  const ours = git('ls-files', '--error-unmatch', manifest).status === 0;
  const described = ours ? git('describe', '--always', '--exclude=*', '--dirty=+changes') : undefined;
  return described?.status === 0 ? described.stdout.trim() : `version ${JSON.parse(readFileSync(manifest, 'utf8')).version}`;
}

function shares(profile: Profile): Row[] {
  const total = [...profile.values()].reduce((sum, r) => sum + r.ms, 0);
  return [...profile]
    .sort(([, a], [, b]) => b.ms - a.ms)
    .map(([op, r]) => ({
      op,
      share: `${((r.ms / total) * 100).toFixed(1)}%`,
      ms: Number(r.ms.toPrecision(4)),
      calls: r.calls,
      'µs/call': Number(((r.ms / r.calls) * 1000).toPrecision(3)),
      'GFLOP/s': r.flops ? Math.round(r.flops / r.ms / 1e6) : '',
      'GB/s': Math.round(r.bytes / r.ms / 1e6),
    }));
}

/** Rows in columns: text to the left, numbers to the right. */
function aligned(rows: Row[]): string[] {
  const keys = [...new Set(rows.flatMap((r) => Object.keys(r)))];
  const cell = (r: Row, key: string) => String(r[key] ?? '');
  const widths = keys.map((key) => Math.max(key.length, ...rows.map((r) => cell(r, key).length)));
  const numeric = keys.map((key) => rows.some((r) => typeof r[key] === 'number'));
  const line = (values: string[]) =>
    values
      .map((v, i) => (numeric[i] ? v.padStart(widths[i]!) : v.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [line(keys), ...rows.map((r) => line(keys.map((key) => cell(r, key))))];
}
