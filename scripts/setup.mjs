/** Prepares a fresh clone so that `dist` can run. Installs packages and builds, each only if it is out of date. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));
const shell = process.platform === 'win32';

/** Runs a command in the project's root with its output on stderr. Exits with the command's status if it fails. */
export function must(command, args) {
  // npm is a script on Windows; the path of node may have spaces, which a shell splits.
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], shell: shell && command === 'npm' });
  if (status === 0) return;
  process.stderr.write(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}\n`);
  process.exit(status ?? 1);
}

/** The path of a program of node_modules/.bin; the shell of Windows takes no other separators than its own. */
export const program = (name) => join(root, 'node_modules', '.bin', name);

/** Runs a program of node_modules/.bin to its end. Resolves to its exit status and all that it printed. */
export function tool(name, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(program(name), args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { FORCE_COLOR: process.stdout.isTTY ? '1' : '0', ...process.env, ...env },
      shell,
    });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.stderr.on('data', (chunk) => (text += chunk));
    child.on('error', (error) => resolve({ status: 1, text: `${error.message}\n` }));
    child.on('close', (status) => resolve({ status: status ?? 1, text }));
  });
}

/** Installs the locked packages if node_modules does not contain them. */
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

const SOURCES = [
  ...['src', 'shaders', 'assembly', 'package.json', 'asconfig.json', 'tsconfig.json', 'tsconfig.build.json'],
  ...['rollup.config.ts', 'scripts/assets.mjs', 'scripts/slim.mjs', 'scripts/build.mjs'],
];

/** The builds: for each, the file that it writes last, and its sources. */
const BUILDS = {
  kernels: {
    last: 'build/helper.js',
    sources: ['assembly', 'asconfig.json', 'src/backend/helper.ts', 'src/backend/board.ts', 'src/platform/thread.ts'],
  },
  command: { last: 'dist/cli.js', sources: SOURCES },
  dist: { last: 'dist/train-worker.d.ts', sources: SOURCES },
};

const isBuilt = ({ last, sources }) => existsSync(root + last) && newest(sources) <= statSync(root + last).mtimeMs;

/** Builds dist, or of it the `aim` command alone, unless it is newer than every source. */
export function build(what = 'dist') {
  if (isBuilt(BUILDS[what])) return;
  process.stderr.write('building…\n');
  must(process.execPath, ['scripts/build.mjs', ...(what === 'dist' ? [] : [what])]);
}

/** Builds the WASM modules and the thread helper, which tests of the sources import, unless they are newer than their sources. */
export function buildKernels() {
  if (isBuilt(BUILDS.kernels)) return false;
  must(process.execPath, ['scripts/build.mjs', 'kernels']);
  return true;
}

/** Throws if a build that tests need is missing. Warns if it is older than its sources. */
export function assertBuilt(what) {
  const { last } = BUILDS[what];
  const folder = last.split('/')[0];
  if (!existsSync(root + last))
    throw new Error(`${last} is missing: run \`npm run build\` before the tests that need ${folder}/.`);
  if (!isBuilt(BUILDS[what]))
    process.stderr.write(
      `warning: ${folder}/ is older than its sources, and tests run it as it is; \`npm run build\` renews it.\n`,
    );
}

/** Returns the time of the last change to files and folders, including files in the folders, in ms since 1970. */
export function newest(paths) {
  let latest = 0;
  for (const path of paths.map((p) => (p.startsWith(root) ? p : root + p))) {
    const stat = statSync(path);
    // A folder's own time shows that a file in it was removed.
    latest = Math.max(latest, stat.mtimeMs);
    if (stat.isDirectory()) latest = Math.max(latest, newest(readdirSync(path).map((name) => `${path}/${name}`)));
  }
  return latest;
}

/** Folders that contain no sources. */
const MADE = ['node_modules', 'dist', 'build', 'out', 'coverage', '.git', '.gpu'];

/**
 * Runs a check of all sources unless they are the same as when it last passed. Resolves to its exit status and output, or to
 * undefined if it did not run.
 */
export async function unlessPassed(name, work) {
  const stamp = `${root}node_modules/.cache/aim-js/${name}.passed`;
  const began = Date.now();
  if (existsSync(stamp) && newest(readdirSync(root).filter((p) => !MADE.includes(p))) <= statSync(stamp).mtimeMs)
    return undefined;
  const result = await work();
  if (result.status === 0) {
    mkdirSync(`${root}node_modules/.cache/aim-js`, { recursive: true });
    writeFileSync(stamp, '');
    utimesSync(stamp, began / 1000, began / 1000);
  }
  return result;
}

/** Runs the linter and formatter on all files. */
export const lint = () => unlessPassed('lint', () => tool('biome', ['check', '--error-on-warnings', '.']));

/**
 * Runs the type checker, which saves its results for the next run. `tsc` is the native one of the package typescript-native, which
 * takes a quarter of the time; where npm links that of the package typescript instead, the results are the same.
 */
export const types = () =>
  unlessPassed('types', () =>
    tool('tsc', ['-p', '.', '--incremental', '--tsBuildInfoFile', 'node_modules/.cache/aim-js/types.tsbuildinfo']),
  );
