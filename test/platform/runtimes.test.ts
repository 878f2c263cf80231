/** The checks of runtime_checks.ts with the built library in every runtime, on WASM and on WebGPU; ends with a table. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DRIVER, NO_ADAPTER } from '../backends.js';
import { WITHOUT_CLEARING } from '../vulkan_driver.js';
import { html, moduleText, NO_CHROMIUM, openChromium, openPage, serve } from './browser_site.js';
import { findDeno, runDeno } from './deno.js';
import { type Ran, run } from './run_program.js';
import type { Place, RuntimeReport } from './runtime_checks.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const fixtures = `${root}test/fixtures`;
const device = ['wasm', 'webgpu'] as const;
let dir: string;
let script: string;

/** A report, or null: there is no WebGPU adapter. */
type Outcome = RuntimeReport | null;
const rows: { runtime: string; backend: string; status: string; ms: number | ''; tokens: string; losses: string }[] = [];
/** The report of Node on WASM. */
let baseline: RuntimeReport | undefined;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aim-checks-'));
  script = join(dir, 'main.mjs');
  writeFileSync(join(dir, 'checks.mjs'), (await moduleText(`${root}test/platform/runtime_checks.ts`)).body);
  writeFileSync(
    script,
    `${attempt(pathToFileURL(`${root}dist/`).href, './checks.mjs')}
    const dawn = async () => (await import(${JSON.stringify(pathToFileURL(`${root}node_modules/webgpu/index.js`).href)}))
      .create(${JSON.stringify([WITHOUT_CLEARING])});
    const [device, fixtures] = globalThis.Deno ? Deno.args : process.argv.slice(2);
    console.log(JSON.stringify(await attempt(globalThis.Deno ? navigator.gpu : await dawn(), { device, fixtures })));`,
  );
});

afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
  const table = rows.map(
    (r) =>
      `  ${r.runtime.padEnd(9)}${r.backend.padEnd(8)}${r.status.padEnd(8)}${String(r.ms).padStart(7)}  ${r.tokens.padEnd(8)}${r.losses}`,
  );
  console.log(`runtime × backend: status, ms, images whose tokens equal Node's on WASM, losses in training\n${table.join('\n')}`);
});

const RUNTIMES: Record<string, { missing(): string; checkRuntime(place: Place): Promise<Outcome> }> = {
  Node: {
    missing: () => '',
    checkRuntime: async ({ device }) => {
      const waits = device === 'webgpu' ? [`--import=${new URL('../idle_waits.mjs', import.meta.url)}`] : [];
      return outcome(await run(process.execPath, [...waits, script, device, fixtures]));
    },
  },
  Deno: {
    missing: () => ('reason' in deno ? deno.reason : ''),
    checkRuntime: async ({ device }) => outcome(await runDeno('deno' in deno ? deno.deno : '', script, [device, fixtures])),
  },
  Chromium: { missing: () => NO_CHROMIUM, checkRuntime: inChromium },
};
const deno = findDeno();

describe.each(Object.keys(RUNTIMES))('%s', (runtime) => {
  it.for(device)('%s', async (backend, { skip }) => {
    const row = { runtime, backend, status: 'FAILED', ms: '' as number | '', tokens: '', losses: '' };
    rows.push(row);
    const { missing, checkRuntime } = RUNTIMES[runtime]!;
    const without = (reason: string) => {
      Object.assign(row, { status: 'skipped', tokens: reason });
      return skip(reason);
    };
    if (missing()) return without(missing());
    const report = await checkRuntime({ device: backend, fixtures });
    if (!report) {
      expect(DRIVER, `${runtime} finds no WebGPU adapter though a driver is installed`).toBe('');
      return without(NO_ADAPTER);
    }
    baseline ??= report;
    const { length } = baseline.tokens;
    const equal = report.tokens.filter((t, i) => t.join() === baseline!.tokens[i]!.join()).length;
    const losses = report.losses.map((loss) => loss.toFixed(4)).join(' ');
    Object.assign(row, { ms: report.ms, tokens: `${equal} of ${length}`, losses });
    expect(report.device).toContain(backend);
    expect(report.checks.filter((c) => c.wrong)).toEqual([]);
    // On WebGPU a near tie may resolve differently and change the rest of the image. On WASM all tokens must be equal.
    expect(equal).toBeGreaterThanOrEqual(backend === 'wasm' ? length : length * 0.9);
    const off = report.losses.map((loss, i) => Math.abs(loss - baseline!.losses[i]!));
    expect(off).toHaveLength(8);
    expect(Math.max(...off)).toBeLessThanOrEqual(backend === 'wasm' ? 0 : 1e-3);
    row.status = 'ok';
  });
});

/**
 * Script text: the function `attempt`, which returns an Outcome. The adapter is requested without the library, so that failures of
 * the library do not pass for a missing adapter.
 */
function attempt(dist: string, checks: string): string {
  return `import * as library from ${JSON.stringify(`${dist}aim.js`)};
    import * as training from ${JSON.stringify(`${dist}train.js`)};
    import { checkRuntime } from ${JSON.stringify(checks)};
    const attempt = async (gpu, place) =>
      place.device === 'webgpu' && !(await gpu?.requestAdapter()) ? null : checkRuntime({ ...library, ...training }, place);`;
}

function outcome({ status, stdout, stderr }: Ran): Outcome {
  if (status !== 0) throw new Error(`it ended with ${status}:\n${stdout}${stderr}`);
  return JSON.parse(stdout);
}

async function inChromium({ device }: Place): Promise<Outcome> {
  const imports = '<script type="importmap">{"imports":{"fast-png":"/fast-png.js"}}</script>';
  const site = await serve({
    '/': html('<script type="module" src="/run.js"></script>', imports),
    '/run.js': {
      body: `${attempt('/dist/', '/checks.js')} globalThis.run = (place) => attempt(navigator.gpu, place);`,
      type: 'text/javascript',
    },
    '/checks.js': await moduleText(`${root}test/platform/runtime_checks.ts`),
    '/fast-png.js': await moduleText(`${root}node_modules/fast-png/lib/index.js`),
  });
  const browser = await openChromium();
  try {
    const { page, errors } = await openPage(browser, site.url);
    const result: Outcome = await page.evaluate(`run(${JSON.stringify({ device, fixtures: '/fixtures' })})`);
    // A model may come without class names; a browser logs the request all the same.
    expect(errors.filter((e) => !/404/.test(e))).toEqual([]);
    return result;
  } finally {
    await browser.close();
    await site.close();
  }
}
