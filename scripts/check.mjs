/**
 * `npm run check` is for use after each change. It runs the linter, the type checker, the unit tests and the tests of the ops. On
 * WASM it tests all ops, and on WebGPU those that differ from the main branch. It prints what it left out. `npm test` runs
 * everything.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { changedFiles, opsIn } from './changed.mjs';
import { build, buildKernels, install, lint, program, root, types } from './setup.mjs';

const start = performance.now();
const seconds = () => `${((performance.now() - start) / 1000).toFixed(1)} s`;
const left = [];

install();
// The examples are type-checked against the declarations in dist.
if (!existsSync(`${root}dist/worker.d.ts`)) build();
else if (!buildKernels()) left.push('building build/*.wasm and build/helper.js: they are newer than their sources');

const changes = changedFiles();
const ops = changes ? opsIn(changes.files) : [];
const against = changes ? `since ${changes.base}` : 'known, for there is no git checkout';
left.push(
  ops.length
    ? `WebGPU for the ops that did not change ${against}; those that did are ${ops.join(', ')}`
    : `WebGPU: no op's spec, reference, shader, kernel or cases changed ${against}`,
);
const backend = changes?.files.filter((file) => file.startsWith('src/backend/') || file === 'src/ops/spec.ts') ?? [];
if (backend.length) left.push(`the ops that did not change on the backends that did (${backend.join(', ')}): npm test has them`);
left.push('whole models, training, the built library in Node, Deno and browsers, and the package: npm test has them');

const failed = [];
const step = async (name, result) => {
  const done = await result;
  if (!done) left.push(`${name}: nothing changed since it passed`);
  else {
    if (done.status !== 0) failed.push(name);
    process.stdout.write(`${done.status === 0 ? '' : done.text}${name}: ${done.status === 0 ? 'ok' : 'FAILED'} (${seconds()})\n`);
  }
};
await Promise.all([step('tests', tests()), step('lint', lint()).then(() => step('types', types()))]);

process.stdout.write(`left out:\n${left.map((what) => `  ${what}\n`).join('')}`);
process.stdout.write(`${failed.length ? `FAILED: ${failed.join(', ')}` : 'all passed'} in ${seconds()}\n`);
process.exitCode = failed.length ? 1 : 0;

function tests() {
  return new Promise((resolve) => {
    const args = ['run', '--project=unit', '--project=ops', '--reporter=default', '--reporter=./scripts/reporter.mjs'];
    const child = spawn(program('vitest'), [...args, ...process.argv.slice(2)], {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, AIM_GPU_OPS: ops.join(' ') },
      shell: process.platform === 'win32',
    });
    child.on('error', (error) => resolve({ status: 1, text: `${error.message}\n` }));
    child.on('close', (status) => resolve({ status: status ?? 1, text: '' }));
  });
}
