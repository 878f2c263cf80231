/** Kernels for devices other than the usual one (`variants` of <op>.cases.ts): wide tiles, and factors rounded to f16. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebGpuBackend } from '../../src/backend/webgpu.js';
import type { GpuCaps } from '../../src/ops/spec.js';
import { hasAdapter, NO_ADAPTER, sharedDevice, webgpuBackend } from '../backends.js';
import { type VariantCases, variants } from './all_cases.js';
import { checkCase } from './harness.js';
import { passesOf, planOf } from './launches.js';

const of = (variant: VariantCases['variant']) => variants.filter((op) => op.variant === variant);

/** Cases whose plan does not use the section or entry that they are for, as text. */
function misplaced({ entry, cases, uses }: VariantCases, caps: GpuCaps): string[] {
  return cases.flatMap((c) => {
    const names = passesOf(planOf(entry, c, caps)).flatMap((pass) => [pass.entry ?? entry.entry, ...(pass.sections ?? [])]);
    return names.includes(uses) ? [] : [`${entry.key} ${JSON.stringify(c)} uses ${names}`];
  });
}

async function wrongIn(backend: WebGpuBackend, op: VariantCases, products: GpuCaps['products']): Promise<string[]> {
  const wrong: string[] = [];
  for (const [i, c] of op.cases.entries()) wrong.push(...(await checkCase(backend, op, c, 7000 + i, products)));
  return wrong;
}

it('every variant has cases', () => {
  expect(of('tile_wide').length).toBeGreaterThanOrEqual(3);
  expect(of('f16').length).toBeGreaterThanOrEqual(5);
  for (const op of variants) expect(op.cases.length, op.entry.key).toBeGreaterThan(0);
});

describe('kernels with wide tiles, with default limits', () => {
  let backend: WebGpuBackend | undefined;
  beforeAll(async () => {
    if (await hasAdapter()) backend = new WebGpuBackend(await sharedDevice('default'), { owned: false });
  });
  afterAll(() => backend?.dispose());

  // Wide tiles need no more than the default limits, but plans choose them only for GPUs on which they are faster.
  for (const op of of('tile_wide')) {
    it(op.entry.key, async ({ skip }) => {
      if (!backend) return skip(NO_ADAPTER);
      expect(misplaced({ ...op, uses: 'tile' }, backend.caps)).toEqual([]);
      const wide = new WebGpuBackend(backend.device, { owned: false });
      Object.assign(wide.caps, { subgroupMinSize: 32, subgroupMaxSize: 32 });
      expect(misplaced(op, wide.caps)).toEqual([]);
      expect(await wrongIn(wide, op, 'f32')).toEqual([]);
      wide.dispose();
    });
  }
});

describe('kernels with factors rounded to f16', () => {
  let backend: WebGpuBackend | undefined;
  beforeAll(async () => {
    const dawn = ['enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'];
    backend = (await webgpuBackend({ precision: 'mixed', dawn })) as typeof backend;
  });
  afterAll(() => backend?.dispose());

  for (const op of of('f16')) {
    it(op.entry.key, async ({ skip }) => {
      if (!backend) return skip(NO_ADAPTER);
      if (!backend.caps.matrices) return skip('this adapter has no 16×16×16 subgroup matrices of f16 (NVIDIA under Dawn has)');
      expect(misplaced(op, backend.caps)).toEqual([]);
      expect(await wrongIn(backend, op, 'f16')).toEqual([]);
    });
  }
});
