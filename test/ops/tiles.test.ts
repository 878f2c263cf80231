/** Matrix products on devices other than the one at hand: with wide tiles, and with factors rounded to f16. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebGpuBackend } from '../../src/backend/webgpu.js';
import type { GpuCaps } from '../../src/ops/spec.js';
import { hasAdapter, NO_ADAPTER, sharedDevice, webgpuBackend } from '../backends.js';
import { checkTiles, halfCases, misplaced, wideCases } from './tiles.js';

describe('wide tiles, with default limits', () => {
  let backend: WebGpuBackend | undefined;
  beforeAll(async () => {
    if (await hasAdapter()) backend = new WebGpuBackend(await sharedDevice('default'), { owned: false });
  });
  afterAll(() => backend?.dispose());

  // They need no more than these limits; only their choice asks for a GPU that gains by them.
  for (const op of wideCases) {
    it(op.entry.key, async ({ skip }) => {
      if (!backend) return skip(NO_ADAPTER);
      expect(misplaced({ ...op, section: 'tile' }, backend.caps)).toBeUndefined();
      const subgroups = { subgroupMinSize: 32, subgroupMaxSize: 32 };
      const wide = new WebGpuBackend(backend.device, { owned: false });
      Object.assign(wide.caps, subgroups);
      expect(misplaced(op, wide.caps)).toBeUndefined();
      expect(await checkTiles(wide, op)).toEqual([]);
      wide.dispose();
    });
  }
});

describe('factors rounded to f16', () => {
  let backend: WebGpuBackend | undefined;
  let caps: GpuCaps | undefined;
  beforeAll(async () => {
    const dawn = ['enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'];
    backend = (await webgpuBackend({ precision: 'mixed', dawn })) as typeof backend;
    caps = backend?.caps;
  });
  afterAll(() => backend?.dispose());

  for (const op of halfCases) {
    it(op.entry.key, async ({ skip }) => {
      if (!backend) return skip(NO_ADAPTER);
      if (!caps?.matrices) return skip('this adapter has no 16×16×16 subgroup matrices of f16 (NVIDIA under Dawn has)');
      expect(misplaced(op, caps)).toBeUndefined();
      expect(await checkTiles(backend, op, 'f16')).toEqual([]);
    });
  }
});
