/** Finds the files that changed since the main branch, and the ops that they belong to. */
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
 * Returns the files that differ from the main branch, including uncommitted and new files, and the name of what they were
 * compared with. On the main branch itself that is the commit before. Returns undefined outside of a git checkout.
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

/** Folders with files that belong to single ops. Files that all ops share (the spec, the backends) are not followed. */
const OF_OPS = ['src/ops/', 'shaders/', 'test/ops/', 'assembly/'];
const SHARED = ['src/ops/spec.ts', 'test/ops/harness.ts', 'test/ops/gradient.ts'];

/**
 * Directives with which a shader names another file. Every kernel includes the first kind, and a plan may include the second.
 */
const INCLUDES = ['#include "', '#optional "'];

/** Returns the files that a file names, by import or, in a shader, by #include or #optional. */
function namedBy(file) {
  const text = readFileSync(root + file, 'utf8');
  const includes = text
    .split('\n')
    .flatMap((line) => (INCLUDES.some((word) => line.startsWith(word)) ? [line.split('"')[1]] : []));
  const names = file.endsWith('.wgsl') ? includes : ts.preProcessFile(text).importedFiles.map((f) => f.fileName);
  return names
    .filter((name) => file.endsWith('.wgsl') || name.startsWith('.'))
    .map((name) => relative(root, join(root, dirname(file), name)).replaceAll('\\', '/'))
    .map((name) =>
      [name, name.replace(/\.js$/, '.ts'), `${name}.ts`].find((path) => existsSync(root + path) && path.includes('.')),
    )
    .filter((name) => name && OF_OPS.some((folder) => name.startsWith(folder)) && !SHARED.includes(name));
}

/** All files of each op, by the op's name. They are read once. */
let filesOf;

function readFilesOf() {
  const ops = readdirSync(`${root}src/ops`)
    .map((name) => name.replace('.ts', ''))
    .filter((name) => existsSync(`${root}shaders/${name}.wgsl`));
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
      for (const file of [`src/ops/${op}.ts`, `src/ops/${op}.reference.ts`, `test/ops/${op}.cases.ts`, `assembly/${op}.ts`])
        if (existsSync(root + file)) visit(file);
      return [op, seen];
    }),
  );
}

/** Returns the names of the ops that have their spec, reference, shaders, assembly kernels or cases among `files`. */
export function opsIn(files) {
  filesOf ??= readFilesOf();
  return [...filesOf].filter(([, own]) => files.some((file) => own.has(file))).map(([op]) => op);
}
