/** Brings a fresh clone to the point where `dist` can run: installs packages and builds, each only when it is out of date. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs a command in the project's root with its output shown on stderr; exits with its status when it fails. */
export function must(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
  if (status === 0) return;
  process.stderr.write(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}\n`);
  process.exit(status ?? 1);
}

/** Installs the locked packages unless node_modules already holds them. */
export function install() {
  const marker = `${root}node_modules/.package-lock.json`;
  const fresh = existsSync(marker) && statSync(marker).mtimeMs >= statSync(`${root}package-lock.json`).mtimeMs;
  if (fresh || (existsSync(marker) && sameVersions(marker))) return;
  process.stderr.write('installing packages (npm ci)…\n');
  must('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

function sameVersions(marker) {
  const have = JSON.parse(readFileSync(marker, 'utf8')).packages;
  const want = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8')).packages;
  return Object.entries(want).every(([name, p]) => name === '' || p.optional || have[name]?.version === p.version);
}

/** Builds dist unless it is newer than every source. */
export function build() {
  const last = `${root}dist/worker.d.ts`;
  const sources = ['src', 'shaders', 'assembly', 'package.json', 'asconfig.json', 'rollup.config.ts', 'scripts'];
  if (existsSync(last) && sources.every((s) => newest(root + s) <= statSync(last).mtimeMs)) return;
  process.stderr.write('building…\n');
  must('npm', ['run', '--silent', 'build']);
}

function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(path).reduce((t, name) => Math.max(t, newest(`${path}/${name}`)), 0);
}
