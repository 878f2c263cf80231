/** docs/api is what `npm run docs` makes of the docstrings, and the documents name what exists. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { run } from '../platform/run_program.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

it('the API reference is up to date (else: npm run docs)', async () => {
  const out = mkdtempSync(join(tmpdir(), 'aim-docs-'));
  try {
    const { status, stdout, stderr } = await run(process.execPath, [`${root}node_modules/typedoc/bin/typedoc`, '--out', out], {
      cwd: root,
    });
    expect(status, stdout + stderr).toBe(0);
    const files = (dir: string) => readdirSync(dir, { recursive: true, withFileTypes: true }).filter((f) => f.isFile());
    const texts = (dir: string) =>
      Object.fromEntries(
        files(dir).map((f) => [join(f.parentPath, f.name).slice(dir.length), readFileSync(join(f.parentPath, f.name), 'utf8')]),
      );
    expect(texts(out)).toEqual(texts(join(root, 'docs/api')));
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});

describe('the documents', () => {
  const names = [
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
  ];
  const documents = names.map((name) => [name.replaceAll('\\', '/'), readFileSync(join(root, name), 'utf8')] as const);

  it.each(documents)('%s: links lead to files that exist', (name, text) => {
    const links = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map((match) => match[1]!);
    const local = links.filter((link) => !/^[a-z]+:/.test(link));
    expect(local.filter((link) => !existsSync(join(root, dirname(name), link)))).toEqual([]);
  });

  it.each(documents.filter(([name]) => ['CONTRIBUTING.md', 'docs/architecture.md'].includes(name)))(
    '%s: names files that exist',
    (_, text) => {
      const paths = [...text.matchAll(/`((?:src|test|scripts|shaders|assembly|docs|examples)\/[\w./-]+\.\w+)`/g)].map(
        (match) => match[1]!,
      );
      expect(paths.length).toBeGreaterThan(10);
      expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    },
  );

  it('every parameter of the API has a name', () => {
    expect(documents.filter(([, text]) => text.includes('__namedParameters')).map(([name]) => name)).toEqual([]);
  });
});
