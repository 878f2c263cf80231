/** `npm test`: finds or installs what the tests need, builds, lints, type-checks and runs every test. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { install, root } from './setup.mjs';

const SYSTEM = [
  {
    package: 'chromium',
    file: '/usr/lib/chromium/vk_swiftshader_icd.json',
    use: 'the browser tests and a software Vulkan driver',
  },
  { package: 'libvulkan1', file: '/usr/lib/x86_64-linux-gnu/libvulkan.so.1', use: 'the Vulkan loader for Dawn' },
  { package: 'dataset-fashion-mnist', file: '/usr/share/datasets/fashion-mnist', use: 'tests on real images' },
];

install();
systemPackages();

const counts = { passed: 0, failed: 0, skipped: 0 };
const bin = (name) => join(root, 'node_modules', '.bin', name);
step('build', 'npm', ['run', '--silent', 'build']);
step('lint', bin('biome'), ['check', '--error-on-warnings', '.']);
step('types', bin('tsc'), ['-p', '.']);
vitest();
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
process.exitCode = counts.failed ? 1 : 0;

function step(name, command, args) {
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
  });
  counts[status === 0 ? 'passed' : 'failed']++;
  process.stdout.write(`${name}: ${status === 0 ? 'ok' : 'FAILED'}\n`);
}

function vitest() {
  const dir = mkdtempSync(join(tmpdir(), 'aim-test-'));
  const file = join(dir, 'counts.json');
  const { status } = spawnSync(
    bin('vitest'),
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

/** Debian packages that tests use. As root on Debian they are installed; otherwise their absence is said, and tests skip. */
function systemPackages() {
  const missing = SYSTEM.filter(({ file }) => !existsSync(file));
  if (!missing.length) return;
  const names = missing.map((m) => m.package);
  const apt = process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
  if (apt) {
    process.stdout.write(`installing ${names.join(', ')} (apt-get)…\n`);
    const options = { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
    spawnSync('apt-get', ['-qq', 'update'], options);
    spawnSync('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', ...names], options);
  }
  for (const m of SYSTEM.filter(({ file }) => !existsSync(file)))
    process.stdout.write(`not found: ${m.use}; tests that need it are skipped (Debian package ${m.package})\n`);
}
