/** Every op on a device with WebGPU's default limits and no features; and plans for other devices. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebGpuBackend } from '../../src/backend/webgpu.js';
import type { AnyEntry, GpuCaps } from '../../src/ops/spec.js';
import { hasAdapter, NO_ADAPTER, sharedDevice } from '../backends.js';
import { all, variants } from './all_cases.js';
import { type Case, checkCase } from './harness.js';
import { DEVICES, excess, launches, passesOf, planOf, unreached } from './launches.js';

describe('no launch exceeds the limits of a device', () => {
  it.each(Object.entries(DEVICES))('%s', (_name, caps) => {
    expect([...all, ...variants].flatMap(({ entry, cases }) => (cases as Case[]).flatMap((c) => excess(entry, c, caps)))).toEqual(
      [],
    );
  });
});

describe('every kernel of every shader', () => {
  it('is launched by at least one case on one device', () => {
    expect(unreached([...all, ...variants], Object.values(DEVICES))).toEqual([]);
  });

  it('is reported by name if no case launches it', () => {
    const few = all.filter(({ entry }) => entry.key === 'linear.forward').map((op) => ({ ...op, cases: op.cases.slice(0, 1) }));
    const missed = unreached(few, Object.values(DEVICES));
    expect(missed).toContain('shaders/linear.wgsl: no case launches forward_f16');
    expect(missed).toContain('shaders/linear.wgsl: no case launches lib/gemv/sums.wgsl');
    expect(missed.join()).not.toContain('forward_vec4');
  });
});

describe('results on a device with default limits and no features', () => {
  let backend: WebGpuBackend | undefined;
  let most: WebGpuBackend | undefined;
  beforeAll(async () => {
    if (!(await hasAdapter())) return;
    backend = new WebGpuBackend(await sharedDevice('default'), { owned: false });
    most = new WebGpuBackend(await sharedDevice('all'), { owned: false });
  });
  let run = 0;
  let left = 0;
  afterAll(() => {
    backend?.dispose();
    most?.dispose();
    if (run) console.log(`${run} cases; ${left} left out: launched as by contract.test.ts, by kernels that are among these`);
  });

  /** The whole plan of a case as text, if a kernel of its own launches it. */
  const launched = (entry: AnyEntry, c: Case, caps: GpuCaps) =>
    launches(entry, c, caps) && JSON.stringify(planOf(entry, c, caps));
  /** The kernels of a case without their constants. */
  const kernels = (entry: AnyEntry, c: Case, caps: GpuCaps) =>
    passesOf(planOf(entry, c, caps)).map(({ entry, sections, vec4 }) => JSON.stringify([entry, sections, vec4]));

  for (const key of new Set(all.map((op) => op.entry.key)))
    it(key, async ({ skip }) => {
      if (!backend || !most) return skip(NO_ADAPTER);
      const seen = new Set<string>();
      const wrong: string[] = [];
      const cases = all.flatMap((op) => (op.entry.key === key ? (op.cases as Case[]).map((c) => ({ op, c })) : []));
      const flops = ({ op, c }: (typeof cases)[number]) => op.entry.flops?.(c as never) ?? 0;
      cases.sort((a, b) => flops(a) - flops(b));
      for (const [i, { op, c }] of cases.entries()) {
        const made = kernels(op.entry, c, backend.caps);
        const other = launched(op.entry, c, backend.caps) !== launched(op.entry, c, most.caps);
        if (!other && made.every((kernel) => seen.has(kernel))) {
          left++;
          continue;
        }
        for (const kernel of made) seen.add(kernel);
        run++;
        wrong.push(...(await checkCase(backend, op, c, 3000 + i)));
      }
      expect(wrong).toEqual([]);
    });
});
