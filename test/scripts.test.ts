/** What scripts decide: which ops a changed file belongs to, whether a build output is missing, what a release lacks. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { assets } from '../scripts/assets.mjs';
import { opsIn } from '../scripts/changed.mjs';
import { missing } from '../scripts/publishable.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

describe('the ops that a changed file affects', () => {
  it('are those with a changed spec, WASM kernel, file of cases or shader', () => {
    for (const file of [
      'src/ops/sum.ts',
      'src/ops/sum.reference.ts',
      'assembly/sum.ts',
      'test/ops/sum.cases.ts',
      'shaders/sum.wgsl',
    ])
      expect(opsIn([file]), file).toContain('sum');
    expect(opsIn(['test/ops/sum.cases.ts'])).toEqual(['sum']);
    expect(opsIn(['README.md', 'src/model/aim.ts'])).toEqual([]);
  });

  it('are all ops that include a changed shader of the library', () => {
    for (const file of readdirSync(`${root}shaders/lib`, { recursive: true, encoding: 'utf8' }).filter((n) =>
      n.endsWith('.wgsl'),
    ))
      expect(opsIn([`shaders/lib/${file.replaceAll('\\', '/')}`]), file).not.toEqual([]);
  });

  it('are found for every shader and every WASM kernel', () => {
    const names = (folder: string, end: string) => readdirSync(root + folder).filter((name) => name.endsWith(end));
    const files = [
      ...names('shaders', '.wgsl').map((name) => `shaders/${name}`),
      ...names('assembly', '.ts').map((name) => `assembly/${name}`),
    ];
    expect(files.filter((file) => !opsIn([file]).length)).toEqual([]);
  });
});

it('a missing build output is an error that names the command to run', () => {
  expect(() => assets().load('/nowhere/aim.wasm')).toThrow('/nowhere/aim.wasm is missing: run `npm run build` first.');
});

it('a release needs an address, one version and an entry in the changelog', () => {
  const [repository, homepage, bugs] = ['git+https://x/y.git', 'https://x', 'https://x/issues'];
  const whole = {
    manifest: { version: '1.2.0', repository, homepage, bugs },
    deno: { version: '1.2.0' },
    changelog: '#\n## 1.2.0\n',
  };
  expect(missing(whole)).toEqual([]);
  expect(missing({ ...whole, manifest: { version: '1.3.0', homepage, bugs } })).toEqual([
    expect.stringContaining('no repository'),
    expect.stringContaining('deno.json has version 1.2.0'),
    expect.stringContaining('## 1.3.0'),
  ]);
});
