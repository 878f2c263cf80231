/**
 * `npm test` finds or installs what the tests need, builds, lints, type-checks and runs every test. `npm test -- FILE` runs the
 * tests of that file. Steps are not repeated if nothing has changed since they last passed.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FASHION_MNIST } from './data.mjs';
import { build, install, lint, program, root, types } from './setup.mjs';

const SYSTEM = [
  {
    package: 'chromium-headless-shell',
    file: '/usr/bin/chromium-headless-shell',
    use: 'the browser tests and a software Vulkan driver',
  },
  { package: 'libvulkan1', file: '/usr/lib/x86_64-linux-gnu/libvulkan.so.1', use: 'the Vulkan loader for Dawn' },
  {
    package: 'mesa-vulkan-drivers',
    file: '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json',
    use: 'a software Vulkan driver that is faster in Deno',
    optional: true,
  },
  { package: 'dataset-fashion-mnist', file: FASHION_MNIST, use: 'tests on real images' },
];

// This mostly waits for the network, so the steps that need no browser run at the same time.
const system = systemPackages();
install();

const counts = { passed: 0, failed: 0, skipped: 0 };
build();
report('build', { status: 0, text: '' });
report('lint', await lint());
report('types', await types());
await system;
vitest();
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
process.exitCode = counts.failed ? 1 : 0;

/** Prints the result of a step. Without a result, nothing has changed since the step passed. */
function report(name, result) {
  counts[!result || result.status === 0 ? 'passed' : 'failed']++;
  if (!result) process.stdout.write(`${name}: ok, nothing changed since it passed\n`);
  else process.stdout.write(`${result.text}${name}: ${result.status === 0 ? 'ok' : 'FAILED'}\n`);
}

function vitest() {
  const dir = mkdtempSync(join(tmpdir(), 'aim-test-'));
  const file = join(dir, 'counts.json');
  const { status } = spawnSync(
    program('vitest'),
    ['run', '--reporter=default', '--reporter=./scripts/reporter.mjs', ...process.argv.slice(2)],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, AIM_TEST_COUNTS: file },
      shell: process.platform === 'win32',
    },
  );
  const ran = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { passed: 0, failed: 0, skipped: 0 };
  rmSync(dir, { recursive: true, force: true });
  if (status !== 0 && ran.failed === 0) ran.failed = 1;
  for (const key of Object.keys(counts)) counts[key] += ran[key];
}

/**
 * Debian packages that tests use. As root on Debian they are installed. Otherwise the missing ones are listed, and tests skip.
 */
async function systemPackages() {
  const missing = SYSTEM.filter(({ file }) => !existsSync(file));
  if (!missing.length) return;
  const names = missing.map((m) => m.package);
  const apt = process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
  if (apt) {
    process.stdout.write(`installing ${names.join(', ')} (apt-get)…\n`);
    await run('apt-get', ['-qq', 'update']);
    await run('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', ...names]);
  }
  for (const m of SYSTEM.filter(({ file }) => !existsSync(file)))
    process.stdout.write(
      `not found: ${m.use} (Debian package ${m.package}); ${m.optional ? 'tests take longer' : 'tests that need it are skipped'}\n`,
    );
}

function run(command, args) {
  const options = { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  return new Promise((resolve) => spawn(command, args, options).on('error', resolve).on('close', resolve));
}
