/**
 * The code of the documents for users, run as it stands there but for the changes in `SMALLER`: modules in one Node process, in one
 * Deno process and in pages of one Chromium, against a local hub; all of them type-checked; and command lines parsed. Modules draw with a
 * model of the embedded one's classes and size that has few weights; consumer.test.ts draws with the embedded one itself.
 */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Browser, Page } from 'playwright-core';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { type Command, parse } from '../../src/cli/command.js';
import * as commands from '../../src/cli/commands.js';
import { grey, png } from '../data/data_folders.js';
import { FaultyServer } from '../io/faulty_server.js';
import { html, moduleText, NO_CHROMIUM, openChromium, type Site, serve } from '../platform/browser_site.js';
import { findDeno } from '../platform/deno.js';
import { run } from '../platform/run_program.js';
import { CONFIG } from '../train/tiny_model.js';
import { type Kind, type Snippet, snippets } from './snippets.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Snippets that are type-checked and not run, by a text that only they have, and why. */
const TYPES_ONLY: Record<string, string> = {
  'evaluate(samples': 'needs the weights of the FID network, a download of 95 MB, and 10,000 images',
};

/** Less work of the same kind. Each must be found in some snippet. */
const SMALLER: readonly [RegExp, string][] = [
  [/epochs: \d+/, 'epochs: 1'],
  [/batchSize: (256|32)\b/, 'batchSize: 4'],
  [/steps: 500/, 'steps: 2, batchSize: 2'],
  [/steps: 2000/, 'steps: 2, batchSize: 2'],
  [/step % 100 /, 'step % 2 '],
  [/i < 20;/, 'i < 2;'],
  [/count: 8 /, 'count: 2 '],
  [/batchSize: 8\b/, 'batchSize: 2'],
  [/length: 100,/, 'length: 4,'],
  [/server\.listen\(8080/, 'server.listen(process.env.PORT'],
  [/port: 8000/, "port: Number(Deno.env.get('PORT'))"],
];

const all = snippets().map((snippet) => {
  const code = SMALLER.reduce((text, [from, to]) => text.replace(from, to), snippet.code);
  return { ...snippet, code, runs: !Object.keys(TYPES_ONLY).some((text) => code.includes(text)) };
});
const those = (...kinds: Kind[]) => all.filter(({ kind, runs }) => runs && kinds.includes(kind));

/** Inside of the project, so that `aim-js` is the project itself. */
let dir: string;
const at = (name: string) => join(dir, name);
/** Where snippets find `images`, `my-model` and what they write. */
const place = 'place';
let hub: FaultyServer;

beforeAll(async () => {
  mkdirSync(`${root}out`, { recursive: true });
  dir = mkdtempSync(`${root}out/snippets-`);
  cpSync(`${root}models/fashion-mnist`, at(`${place}/my-model`), { recursive: true });
  for (const name of ['Bag', 'Coat']) {
    mkdirSync(at(`${place}/images/${name}`), { recursive: true });
    for (let i = 0; i < 5; i++) writeFileSync(at(`${place}/images/${name}/${i}.png`), png(32, 32, grey(40 * i)));
  }
  hub = await FaultyServer.start();
  await writeStandIn();
  const tiny = await AiM.fromConfig({ ...CONFIG, num_classes: 1000 }, { device: 'wasm', threads: 1 });
  for (const file of await tiny.toFiles()) {
    const body = new Uint8Array(await file.arrayBuffer());
    for (const id of ['hp-l33/aim-base', 'owner/name']) hub.files[`/${id}/resolve/main/${file.name}`] = { body };
  }
  await tiny.dispose();
});
afterAll(async () => {
  await hub.close();
  rmSync(dir, { recursive: true, force: true });
});

/** A module like `aim-js/embedded`, and the weights of its model beside it. */
async function writeStandIn(): Promise<void> {
  const json = (name: string) => JSON.parse(readFileSync(`${root}models/emoji/${name}.json`, 'utf8'));
  const [config, classes, generationConfig] = ['config', 'classes', 'generation_config'].map(json);
  const vq_config = { ...config.vq_config, num_res_blocks: 1 };
  const small = { ...config, d_model: 32, n_layer: 1, ssm_cfg: { layer: 'Mamba2', d_state: 8, headdim: 8 }, vq_config };
  const aim = await AiM.fromConfig(small, { device: 'wasm', threads: 1 });
  const weights = (await aim.toFiles({ dtype: 'f16' })).find(({ name }) => name === 'model.safetensors')!;
  await aim.dispose();
  writeFileSync(at('embedded.safetensors'), new Uint8Array(await weights.arrayBuffer()));
  const source = JSON.stringify({ config: small, classes, generationConfig });
  writeFileSync(
    at('embedded.mjs'),
    `export const embedded = () => ({ ...${source}, weights: new URL('embedded.safetensors', import.meta.url).href });`,
  );
}

const environment = () => ({
  ...process.env,
  HF_ENDPOINT: hub.url,
  AIM_CACHE: at('cache'),
  // A software GPU would be slower, and is not taken by itself.
  VK_ICD_FILENAMES: '/none',
});

/** A port that is free now. */
async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

const isPng = (bytes: ArrayBuffer) => String.fromCharCode(...new Uint8Array(bytes).subarray(1, 4)) === 'PNG';

it('what is not run, and what is made smaller, is there', () => {
  const code = snippets().map((s) => s.code);
  for (const text of Object.keys(TYPES_ONLY)) expect(code.filter((c) => c.includes(text))).toHaveLength(1);
  for (const [from] of SMALLER) expect(code.filter((c) => from.test(c)).length, String(from)).toBeGreaterThan(0);
});

it('modules run in Node, servers answer, and files are written', async () => {
  const modules = those('node');
  for (const { name, code } of modules) {
    const { outputFiles } = await build({ stdin: { contents: code, loader: 'ts' }, write: false, target: 'esnext' });
    writeFileSync(at(`${name}.mjs`), outputFiles[0]!.text.replace('"aim-js/embedded"', '"./embedded.mjs"'));
  }
  const port = await freePort();
  writeFileSync(
    at('run.mjs'),
    `import { writeFileSync } from 'node:fs';
    process.chdir(${JSON.stringify(place)});
    const failed = {};
    for (const name of ${JSON.stringify(modules.map((m) => m.name))}) {
      try {
        const { GET } = await import(\`./\${name}.mjs\`);
        const answer = await GET?.(new Request('http://localhost/draw?seed=1'));
        if (answer) writeFileSync('GET.png', Buffer.from(await answer.arrayBuffer()));
      } catch (error) {
        failed[name] = String(error?.stack ?? error);
      }
    }
    const ask = async (path) => {
      const answer = await fetch('http://localhost:${port}' + path);
      return [answer.status, answer.headers.get('content-type'), Buffer.from(await answer.arrayBuffer()).toString('latin1')];
    };
    const answers = await Promise.all(['/heart?seed=1', '/Hat'].map(ask)).catch(String);
    writeFileSync('ran.json', JSON.stringify({ failed, answers }));
    process.exit(0);`,
  );
  const { status, stderr } = await run(process.execPath, ['run.mjs'], { cwd: dir, env: { ...environment(), PORT: port } });
  expect(status, stderr).toBe(0);
  const { failed, answers } = JSON.parse(readFileSync(at(`${place}/ran.json`), 'utf8'));
  expect(failed).toEqual({});
  expect(answers).toEqual([
    [200, 'image/png', expect.stringMatching(/^.PNG/)],
    [400, 'text/plain', expect.stringContaining('Hat')],
  ]);
  expect(isPng(new Uint8Array(readFileSync(at(`${place}/GET.png`))).buffer)).toBe(true);
  const written = modules.flatMap(({ code }) => [...code.matchAll(/writeFile\('([^']+)'/g)].map((match) => match[1]!));
  expect(written.length).toBeGreaterThan(2);
  expect(written.filter((file) => !existsSync(at(`${place}/${file}`)))).toEqual([]);
});

it('modules run in Deno, and its server answers', async ({ skip }) => {
  const found = findDeno();
  if ('reason' in found) return skip(found.reason);
  const modules = those('deno');
  for (const { name, code } of modules) writeFileSync(at(`${name}.ts`), code);
  writeFileSync(at('run.ts'), modules.map(({ name }) => `await import('./${name}.ts');`).join('\n'));
  const { imports } = JSON.parse(readFileSync(`${root}deno.json`, 'utf8'));
  const here = { 'npm:aim-js': `${root}dist/aim.js`, 'npm:aim-js/embedded': at('embedded.mjs') };
  writeFileSync(at('imports.json'), JSON.stringify({ imports: { ...imports, ...here } }));
  const port = await freePort();
  const flags = ['--quiet', '--no-check', '--cached-only', `--config=${root}deno.json`, `--import-map=${at('imports.json')}`];
  const allowed = ['--allow-read', '--allow-write', '--allow-env', '--allow-net'];
  const env = { ...environment(), PORT: port };
  const deno = spawn(found.deno, ['run', ...flags, ...allowed, at('run.ts')], { cwd: at(place), env });
  try {
    let text = '';
    for (const stream of [deno.stdout, deno.stderr]) stream.on('data', (part) => (text += part));
    const ended = new Promise<never>((_, reject) => deno.once('exit', () => reject(new Error(`Deno ended:\n${text}`))));
    const answer = await Promise.race([ended, untilAnswered(`http://localhost:${port}/?seed=1`)]);
    expect(isPng(answer)).toBe(true);
    expect(isPng(new Uint8Array(readFileSync(at(`${place}/heart.png`))).buffer)).toBe(true);
  } finally {
    deno.removeAllListeners('exit').kill();
  }
});

async function untilAnswered(url: string): Promise<ArrayBuffer> {
  for (;;) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer) return answer.arrayBuffer();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

describe('pages', () => {
  let browser: Browser;
  let site: Site;
  const imports = {
    ...Object.fromEntries(['train', 'train-worker', 'worker'].map((name) => [`aim-js/${name}`, `/dist/${name}.js`])),
    'aim-js/embedded': '/embedded.mjs',
    'aim-js': '/dist/aim.js',
  };
  const map = `<script type="importmap">${JSON.stringify({ imports })}</script>`;
  /** The addresses of a CDN, which has the package once it is published. */
  const local = (code: string) =>
    code
      .replaceAll('https://cdn.jsdelivr.net/npm/aim-js/dist/embedded.js', '/embedded.mjs')
      .replaceAll('https://cdn.jsdelivr.net/npm/aim-js/dist/', '/dist/')
      .replaceAll('https://cdn.jsdelivr.net/npm/aim-js"', '/dist/aim.iife.min.js"')
      .replaceAll('https://cdn.jsdelivr.net/npm/fast-png@8/+esm', '/fast-png.js');

  beforeAll(async () => {
    if (NO_CHROMIUM) return;
    const react = those('react').map(async ({ name, code }) => {
      writeFileSync(at(`${name}.tsx`), code);
      const main = `import { createElement, StrictMode } from 'react';
        import { createRoot } from 'react-dom/client';
        import { Drawing } from './${name}.tsx';
        const tree = createRoot(document.body.appendChild(document.createElement('main')));
        tree.render(createElement(StrictMode, undefined, createElement(Drawing, { name: 'heart' })));
        globalThis.leave = () => tree.unmount();`;
      const { outputFiles } = await build({
        stdin: { contents: main, resolveDir: dir },
        bundle: true,
        format: 'esm',
        jsx: 'automatic',
        external: ['aim-js/*'],
        // In development StrictMode mounts twice.
        define: { 'process.env.NODE_ENV': '"development"' },
        write: false,
      });
      return [`/${name}.js`, { body: outputFiles[0]!.contents, type: 'text/javascript' }] as const;
    });
    const elements = '<canvas width="64" height="64"></canvas><button>Stop</button><input type="file" webkitdirectory>';
    site = await serve({
      ...Object.fromEntries(await Promise.all(react)),
      ...Object.fromEntries(those('html').map(({ name, code }) => [`/${name}`, html(local(code))])),
      ...Object.fromEntries(
        those('react').map(({ name }) => [`/${name}`, html(`<script type="module" src="/${name}.js"></script>`, map)]),
      ),
      '/page': html(elements, map),
      '/fast-png.js': await moduleText(`${root}node_modules/fast-png/lib/index.js`),
      '/embedded.mjs': { body: readFileSync(at('embedded.mjs')), type: 'text/javascript' },
      '/embedded.safetensors': { body: readFileSync(at('embedded.safetensors')) },
    });
    browser = await openChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  /** Opens a page, does the work in it, and throws the first error that the page reports. */
  async function visit(path: string, work: (page: Page) => Promise<unknown>): Promise<void> {
    const page = await browser.newPage();
    const failed = new Promise<never>((_, reject) => page.once('pageerror', reject));
    failed.catch(() => {});
    await page.goto(site.url + path);
    await Promise.race([work(page), failed]);
    await page.close();
  }
  /** Waits until a canvas or an image shows something. */
  const shown = (page: Page) =>
    page.waitForFunction(() => {
      const canvas = document.querySelector('canvas');
      const pixels = canvas?.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data;
      return pixels ? pixels.some((value) => value > 0) : (document.querySelector('img')?.naturalWidth ?? 0) > 0;
    });

  it.for(those('html'))('$name', async ({ name }, { skip }) => {
    if (NO_CHROMIUM) return skip(NO_CHROMIUM);
    await visit(`/${name}`, async (page) => {
      for (const button of await page.locator('button').all()) await button.click();
      await shown(page);
    });
  });

  it.for(those('page'))('$name', async ({ code }, { skip }) => {
    if (NO_CHROMIUM) return skip(NO_CHROMIUM);
    await visit('/page', async (page) => {
      await page.locator('input').setInputFiles(at(`${place}/images`));
      await page.addScriptTag({ type: 'module', content: `${code}\nglobalThis.done = true;` });
      await page.waitForFunction('globalThis.done');
      if (code.includes('canvas')) await shown(page);
    });
  });

  it.for(those('react'))('$name', async ({ name }, { skip }) => {
    if (NO_CHROMIUM) return skip(NO_CHROMIUM);
    await visit(`/${name}`, async (page) => {
      await page.locator('button').click();
      await page.getByText('Drawn', { exact: true }).waitFor();
      await shown(page);
      await page.evaluate('leave()');
    });
  });
});

it('all of them type-check', () => {
  /** What is JavaScript in the documents need not say where null is impossible, or of what type a parameter is. */
  const LENIENT = new Set([2488, 2531, 2532, 2538, 7006, 7031, 18046, 18047, 18048]);
  const checked = all.filter(({ kind }) => kind !== 'sh' && kind !== 'html');
  const file = ({ name, kind }: Snippet) => at(`types/${name}.${kind === 'react' ? 'tsx' : 'mts'}`);
  mkdirSync(at('types'));
  for (const snippet of checked) writeFileSync(file(snippet), `${snippet.code}\nexport {};\n`);
  writeFileSync(at('types/deno.d.ts'), 'declare const Deno: any;\n');
  const dist = (name: string) => [`${root}dist/${name}.d.ts`];
  const program = ts.createProgram([...checked.map(file), at('types/deno.d.ts')], {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    jsx: ts.JsxEmit.ReactJSX,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    types: ['node'],
    typeRoots: [`${root}node_modules/@types`],
    paths: { 'npm:aim-js': dist('aim'), 'npm:aim-js/embedded': dist('embedded') },
  });
  const strict = new Set(checked.filter(({ kind }) => kind === 'react').map(file));
  const wrong = ts.getPreEmitDiagnostics(program).filter((d) => strict.has(d.file?.fileName ?? '') || !LENIENT.has(d.code));
  const host = { getCanonicalFileName: (name: string) => name, getCurrentDirectory: () => dir, getNewLine: () => '\n' };
  expect(ts.formatDiagnostics(wrong, host)).toBe('');
});

it('commands and their options exist', () => {
  const scripts = Object.keys(JSON.parse(readFileSync(`${root}package.json`, 'utf8')).scripts);
  const known: readonly Command[] = Object.values(commands);
  let count = 0;
  for (const { code, name } of those('sh'))
    for (const line of code.split('\n').map((l) => l.replace(/(^|\s)#.*$/, '').trim())) {
      const script = /^npm run ([\w:-]+)|^npm (start|test)$/.exec(line);
      if (script) expect(scripts, `${name}: ${line}`).toContain(script[1] ?? script[2]);
      const words = [...(/^npx aim (?!COMMAND)(.*)$/.exec(line)?.[1] ?? '').matchAll(/'([^']*)'|(\S+)/g)].map(
        (m) => m[1] ?? m[2]!,
      );
      if (words.length === 0) continue;
      const command = known.find((c) => c.name === words.slice(0, c.name.split(' ').length).join(' '));
      expect(command, `${name}: ${line}`).toBeDefined();
      expect(() => parse(command!, words.slice(command!.name.split(' ').length)), `${name}: ${line}`).not.toThrow();
      count++;
    }
  expect(count).toBeGreaterThan(20);
});
