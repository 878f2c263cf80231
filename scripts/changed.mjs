/** What of the sources changed since the main branch, and which ops that touches. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';
import { root } from './setup.mjs';

const git = (...args) => {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
};

/**
 * The files that differ from the main branch's, uncommitted and new ones included, and what they were compared with. On the main
 * branch itself it is the commit before. Undefined outside of a git checkout.
 */
export function changedFiles() {
  const head = git('rev-parse', 'HEAD');
  if (!head) return undefined;
  for (const base of ['origin/main', 'main', 'HEAD~1']) {
    const commit = git('merge-base', base, 'HEAD');
    if (!commit || (commit === head && base !== 'HEAD~1')) continue;
    const list = (text) => (text ? text.split('\n') : []);
    const files = [...list(git('diff', '--name-only', commit)), ...list(git('ls-files', '--others', '--exclude-standard'))];
    return { base, files };
  }
  return { base: 'nothing, since this is the first commit', files: [] };
}

/** Folders whose files belong to single ops. What all ops share (the spec, the backends) is not followed. */
const OF_OPS = ['src/ops/', 'src/reference/', 'shaders/', 'test/ops/', 'assembly/'];
const SHARED = ['src/ops/spec.ts', 'src/ops/index.ts', 'test/ops/harness.ts'];

/** Files that a file names: by import, or by #include in a shader. */
function namedBy(file) {
  const text = readFileSync(root + file, 'utf8');
  const includes = text.split('\n').flatMap((line) => (line.startsWith('#include "') ? [line.split('"')[1]] : []));
  const names = file.endsWith('.wgsl') ? includes : ts.preProcessFile(text).importedFiles.map((f) => f.fileName);
  return names
    .filter((name) => file.endsWith('.wgsl') || name.startsWith('.'))
    .map((name) => relative(root, join(root, dirname(file), name)).replaceAll('\\', '/'))
    .map((name) =>
      [name, name.replace(/\.js$/, '.ts'), `${name}.ts`].find((path) => existsSync(root + path) && path.includes('.')),
    )
    .filter((name) => name && OF_OPS.some((folder) => name.startsWith(folder)) && !SHARED.includes(name));
}

/** All files that an op is made of, by its name; read once. */
let filesOf;

function readFilesOf() {
  const ops = readdirSync(`${root}src/ops`)
    .filter((name) => existsSync(`${root}test/ops/${name.replace('.ts', '.cases.ts')}`))
    .map((name) => name.replace('.ts', ''));
  const named = new Map();
  return new Map(
    ops.map((op) => {
      const seen = new Set();
      const visit = (file) => {
        if (seen.has(file)) return;
        seen.add(file);
        if (!named.has(file)) named.set(file, namedBy(file));
        named.get(file).forEach(visit);
      };
      for (const file of [`src/ops/${op}.ts`, `src/reference/${op}.ts`, `test/ops/${op}.cases.ts`, `assembly/${op}.ts`])
        if (existsSync(root + file)) visit(file);
      return [op, seen];
    }),
  );
}

/** Names of the ops whose spec, reference, shaders, kernels in assembly or cases are among `files`. */
export function opsIn(files) {
  filesOf ??= readFilesOf();
  return [...filesOf].filter(([, own]) => files.some((file) => own.has(file))).map(([op]) => op);
}
