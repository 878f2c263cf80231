/** docs/api is what `npm run docs` makes of the docstrings. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { run } from '../platform/run.js';

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
