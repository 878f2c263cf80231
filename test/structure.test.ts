/** The rules of docs/architecture.md that a program can check: which folder may import which, and how long a file may be. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import { beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Files that a package export, the script build or the compiler starts from; `aim.ts` is the facade that `index.ts` exports. */
const ENTRIES = ['aim.ts', 'assets.d.ts', 'embedded.ts', 'evaluate.ts', 'global.ts', 'index.ts', 'train.ts'];
/** Folders that use the public API, as a user's program does. */
const USERS = ['cli', 'worker'];
const MOST_LINES = 450;
const MOST_LINES_OF: Record<string, number> = { 'aim.ts': 300 };

describe('imports, including type imports', () => {
  let result: ICruiseResult;
  beforeAll(async () => {
    const { output } = await cruise(['src'], {
      baseDir: root,
      validate: true,
      tsPreCompilationDeps: true,
      doNotFollow: { path: 'node_modules' },
      outputType: 'json',
      ruleSet: {
        forbidden: [
          { name: 'folders', severity: 'error', scope: 'folder', from: {}, to: { circular: true } },
          {
            name: 'modules',
            severity: 'error',
            from: {},
            // A dynamic import() is loaded later, so that it causes no problem with the order of loading.
            to: { circular: true, viaOnly: { dependencyTypesNot: ['dynamic-import'] } },
          },
          { name: 'unresolved', severity: 'error', from: {}, to: { couldNotResolve: true, path: '^\\.', pathNot: '/build/' } },
          {
            name: 'root',
            severity: 'error',
            from: { path: '^src/[^/]+/', pathNot: `^src/(${USERS.join('|')})/` },
            to: { path: '^src/[^/]+\\.ts$', pathNot: '\\.d\\.ts$' },
          },
        ],
      },
    });
    result = JSON.parse(output as string);
  });
  const broken = (rule: string) =>
    result.summary.violations
      .filter((v) => v.rule.name === rule)
      .map((v) => [v.from, ...(v.cycle?.map(({ name }) => name) ?? [v.to])].join(' -> '));

  it('are found in the whole source', () => {
    // A pattern that matches nothing would make the other tests pass.
    expect(result.summary.totalCruised).toBeGreaterThan(150);
    expect(broken('unresolved')).toEqual([]);
  });

  it('have no cycle between folders', () => {
    expect(broken('folders')).toEqual([]);
  });

  it('have no cycle between modules', () => {
    expect(broken('modules')).toEqual([]);
  });

  it('are allowed by the table in docs/architecture.md', () => {
    const folderOf = (path: string) => /^src\/([^/]+)\//.exec(path)?.[1];
    const rows = readFileSync(join(root, 'docs/architecture.md'), 'utf8').matchAll(/^\| `(\w+)` \|.*\| ([^|]*) \|$/gm);
    const allowed = new Map([...rows].map(([, name, list]) => [name!, list!.split(', ')]));
    const folders = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((f) => f.isDirectory());
    expect([...allowed.keys()].sort()).toEqual(folders.map((f) => f.name).sort());
    const wrong = result.modules.flatMap(({ source, dependencies }) => {
      const [folder, others] = [folderOf(source), dependencies.map((d) => folderOf(d.resolved))];
      if (!folder) return [];
      const bad = others.filter((other) => other && other !== folder && !allowed.get(folder)!.includes(other));
      return bad.map((other) => `${source} imports ${other}, which the row of ${folder} does not have`);
    });
    expect(wrong).toEqual([]);
    // In the table's order, every folder imports only folders above it.
    const names = [...allowed.keys()];
    for (const [i, name] of names.entries()) expect(allowed.get(name)!.filter((other) => names.indexOf(other) >= i)).toEqual([]);
  });

  it(`reach the public entries only from ${USERS.join(' and ')}`, () => {
    expect(broken('root')).toEqual([]);
  });
});

it('the root of src holds public entries only', () => {
  const files = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((f) => f.isFile());
  expect(files.map((f) => f.name).sort()).toEqual(ENTRIES);
});

it(`no file of src has more than ${MOST_LINES} lines`, () => {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  expect(files.length).toBeGreaterThan(100);
  const lines = (name: string) =>
    readFileSync(join(root, 'src', name), 'utf8')
      .trimEnd()
      .split('\n').length;
  const long = files.filter((name) => lines(name) > (MOST_LINES_OF[name] ?? MOST_LINES));
  expect(long.map((name) => `${name}: ${lines(name)} lines, at most ${MOST_LINES_OF[name] ?? MOST_LINES}`)).toEqual([]);
});
