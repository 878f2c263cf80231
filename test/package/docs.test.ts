/** docs/api is what `npm run docs` makes of the docstrings, and the documents name what exists. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { brokenLinks, buildSite } from '../../scripts/site.mjs';
import { IMAGE_FORMATS } from '../../src/io/images/index.js';
import * as conditions from '../../src/model/condition_list.js';
import * as mixers from '../../src/model/mixer_list.js';
import * as tokenizers from '../../src/model/tokenizer_list.js';
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

it('the site has every document, and its links lead to its files', async () => {
  const out = mkdtempSync(join(tmpdir(), 'aim-site-'));
  try {
    // One small entry of the reference, which is checked above.
    await buildSite(out, { entryPoints: [join(root, 'src/core/errors.ts')], skipErrorChecking: true });
    expect(brokenLinks(out).filter((link) => !/: (\.\.\/)*studio\/$/.test(link))).toEqual([]);
    const pages = readdirSync(join(out, 'documents'));
    const guides = readdirSync(join(root, 'docs/guides')).filter((name) => name.endsWith('.md'));
    expect(pages.length).toBeGreaterThanOrEqual(guides.length + 5);
    expect(pages).toContain('First_image.html');
    expect(existsSync(join(out, 'llms.txt'))).toBe(true);
    writeFileSync(join(out, 'documents/Wrong.html'), '<a href="../nowhere.html">');
    expect(brokenLinks(out)).toContain('documents/Wrong.html: ../nowhere.html');
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});

describe('the documents', () => {
  const names = [
    'README.md',
    'llms.txt',
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
    const places = [...text.matchAll(/\]\(([^)\s:#]*\.md)?#([^)]+)\)/g)].filter(([, file]) => !file?.includes('api/'));
    const missing = places.filter(
      ([, file, place]) => !name.includes('api/') && !anchors(file ? join(dirname(name), file) : name).has(place!),
    );
    expect(missing.map(([link]) => link)).toEqual([]);
  });

  /** The anchors that GitHub gives to the headings of a document. */
  const anchors = (name: string) =>
    new Set(
      [...readFileSync(join(root, name), 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
        heading!
          .toLowerCase()
          .replace(/[^\p{L}\p{N}_ -]/gu, '')
          .replaceAll(' ', '-'),
      ),
    );

  it('what users read leads to what the package holds', () => {
    const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
    const held = [...files, 'README.md', 'LICENSE', 'package.json'];
    const users = documents.filter(([name]) => ['README.md', 'llms.txt'].includes(name) || name.startsWith('docs/guides/'));
    const links = users.flatMap(([name, text]) =>
      [...text.matchAll(/\]\((?![a-z]+:|#)([^)\s#]+)/g)].map((match) => join(dirname(name), match[1]!).replaceAll('\\', '/')),
    );
    expect(links.length).toBeGreaterThan(30);
    expect(links.filter((link) => !held.some((entry) => link === entry || link.startsWith(`${entry}/`)))).toEqual([]);
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

  it('the tables of features name what the code has', () => {
    const table = readFileSync(join(root, 'docs/guides/platforms.md'), 'utf8');
    const formats = (optional: boolean) =>
      IMAGE_FORMATS.filter((f) => (f.unavailable !== undefined) === optional).map((f) => f.name);
    expect(table).toContain(`| read ${formats(false).join(', ')} | yes |`);
    expect(table).toContain(`| read ${formats(true).join(', ')} | with the packages `);
    const lists = { mixers, tokenizers, condition: conditions };
    for (const [row, list] of Object.entries(lists)) {
      const text = new RegExp(`^\\| ${row}.*$`, 'm').exec(table)![0];
      expect(
        Object.keys(list).filter((name) => !text.includes(`\`${name}\``)),
        row,
      ).toEqual([]);
    }
  });

  it('every parameter of the API has a name', () => {
    expect(documents.filter(([, text]) => text.includes('__namedParameters')).map(([name]) => name)).toEqual([]);
  });
});
