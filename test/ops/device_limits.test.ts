/** Every op on devices with less than the one at hand: WebGPU's default limits and no features. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebGpuBackend } from '../../src/backend/webgpu.js';
import type { AnyEntry, GpuCaps } from '../../src/ops/spec.js';
import { hasAdapter, NO_ADAPTER, sharedDevice } from '../backends.js';
import { all } from './all_cases.js';
import { type Case, checkCase } from './harness.js';
import { DEFAULT_CAPS, excess, launches, passesOf, planOf } from './launches.js';

const subgroups = { features: new Set(['subgroups']), subgroupMinSize: 32, subgroupMaxSize: 32 };
const devices: Record<string, GpuCaps> = {
  'default limits': DEFAULT_CAPS,
  '10 storage buffers': { ...DEFAULT_CAPS, maxStorageBuffers: 10 },
  'default limits and subgroups': { ...DEFAULT_CAPS, ...subgroups },
  'all of an H100': {
    ...DEFAULT_CAPS,
    features: new Set(['subgroups', 'shader-f16', 'chromium-experimental-subgroup-matrix']),
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    maxWorkgroupStorage: 49152,
    maxStorageBuffers: 16,
    maxInvocations: 1024,
    matrices: true,
    products: 'f16',
  },
};

describe('no launch asks for more than a device has', () => {
  it.each(Object.entries(devices))('%s', (_name, caps) => {
    expect(all.flatMap(({ entry, cases }) => (cases as Case[]).flatMap((c) => excess(entry, c, caps)))).toEqual([]);
  });
});

describe('default limits and no features', () => {
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

  /** How a case is launched, by all that the plan says. */
  const launched = (entry: AnyEntry, c: Case, caps: GpuCaps) =>
    launches(entry, c, caps) && JSON.stringify(planOf(entry, c, caps));
  /** Its kernels, whatever their sizes. */
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
