/** Which launches share a pipeline and a bind group (src/backend/series.ts), and that their kernels compile. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findSeries, type LaunchPlaces } from '../../src/backend/series.js';
import { assemble } from '../../src/backend/wgsl/assemble.js';
import { kernelOf } from '../../src/backend/wgsl/kernel.js';
import type { AnyEntry, GpuCaps, GpuPass } from '../../src/ops/spec.js';
import { gpuDevice, NO_ADAPTER } from '../backends.js';
import { all } from './all_cases.js';
import type { Case } from './harness.js';
import { DEFAULT_CAPS, DEVICES, halvesOf, passesOf, planOf } from './launches.js';

const MOST = 2 ** 27;
const buffers = Array.from({ length: 9 }, (_, i) => ({ i }) as unknown as GPUBuffer);
/** A launch whose tensors are at these offsets, each in a separate buffer. */
const at = (kind: string, ...offsets: number[]): LaunchPlaces => ({
  kind,
  pass: { workgroups: [5], series: true },
  places: offsets.map((offset, i) => ({ buffer: buffers[i]!, offset, size: 256 })),
  x: 5,
});
const found = (launches: (LaunchPlaces | undefined)[], most = MOST) =>
  findSeries(launches, most).map(({ members, steps, slot }) => ({ members, steps, slot }));

describe('a series', () => {
  it('consists of launches of one kernel at equal distances, with any launches between them', () => {
    const launches = [at('a', 0, 512), at('b', 0), undefined, at('a', 256, 512), at('b', 256), at('a', 512, 512), at('b', 512)];
    expect(found(launches)).toEqual([
      { members: [0, 3, 5], steps: [256, 0], slot: 1 },
      { members: [1, 4, 6], steps: [256], slot: 2 },
    ]);
  });

  it('ends if the distance changes, decreases, or exceeds what can be bound', () => {
    const launches = [0, 256, 512, 1024, 1536, 2048, 768, 512, 256].map((offset) => at('a', offset));
    expect(found(launches).map((s) => s.members)).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
    expect(found(launches, 700)).toEqual([]);
    expect(found(launches, 768).map((s) => s.members)).toEqual([[0, 1, 2]]);
  });

  it('needs equal buffers, at least three launches, and launches that allow it', () => {
    const other: LaunchPlaces = { ...at('a', 512), places: [{ buffer: buffers[8]!, offset: 512, size: 256 }] };
    expect(found([at('a', 0), at('a', 256), other])).toEqual([]);
    expect(found([0, 256, 512].map((offset) => ({ ...at('a', offset), pass: { workgroups: [5] } })))).toEqual([]);
  });

  it('occupies its slot from its first to its last launch', () => {
    const kinds = ['a', 'b', 'c', 'd', 'e'];
    const together = [0, 256, 512].flatMap((offset) => kinds.map((kind) => at(kind, offset)));
    expect(found(together).map((s) => s.slot)).toEqual([1, 2, 3, 0]);
    const inTurn = kinds.flatMap((kind) => [0, 256, 512].map((offset) => at(kind, offset)));
    expect(found(inTurn).map((s) => s.slot)).toEqual([1, 1, 1, 1, 1]);
  });
});

const CAPS: Record<string, GpuCaps> = {
  'without subgroups': DEFAULT_CAPS,
  'with subgroups': DEVICES['default limits and subgroups']!,
};

/** The passes of all cases that may be in a series. */
function seriesPasses(caps: GpuCaps): { entry: AnyEntry; c: Case; pass: GpuPass }[] {
  return all.flatMap(({ entry, cases }) =>
    (cases as Case[]).flatMap((c) =>
      passesOf(planOf(entry, c, caps)).flatMap((pass) => (pass.series ? [{ entry, c, pass }] : [])),
    ),
  );
}

it('whether an entry may be in a series does not depend on the device', () => {
  const keys = (caps: GpuCaps) => [...new Set(seriesPasses(caps).map(({ entry }) => entry.key))].sort();
  const usual = keys(DEFAULT_CAPS);
  expect(usual.length).toBeGreaterThanOrEqual(7);
  for (const [name, caps] of Object.entries(DEVICES)) {
    // Composites that run as their parts there have no launch of their own.
    const planned = new Set(
      all.filter(({ entry, cases }) => cases.some((c) => planOf(entry, c, caps))).map(({ entry }) => entry.key),
    );
    expect(keys(caps), name).toEqual(usual.filter((key) => planned.has(key)));
  }
});

describe('shaders for series compile', () => {
  let device: GPUDevice | undefined;
  beforeAll(async () => {
    device = await gpuDevice('all');
  });
  afterAll(() => device?.destroy());

  it.for(Object.keys(CAPS))('%s', async (name, { skip }) => {
    if (!device) return skip(NO_ADAPTER);
    if (name === 'with subgroups' && !device.features.has('subgroups')) return skip('this adapter has no subgroups');
    const seen = new Map<string, string>();
    for (const { entry, c, pass } of seriesPasses(CAPS[name]!)) {
      const kernel = kernelOf(entry, pass, halvesOf(entry, c, CAPS[name]!));
      const { code } = assemble(kernel, { series: { slot: 2, x: 7, steps: kernel.bindings.map(() => 64) } });
      seen.set(code, entry.key);
      // Each access uses the member's offset: one to read, and for a writable binding one to overwrite and one to add.
      for (const { name, writable } of kernel.bindings)
        expect(code.split(`${name}_buffer[member * 64u + `).length - 1, `${entry.key} ${name}`).toBeGreaterThanOrEqual(
          writable ? 3 : 1,
        );
    }
    for (const [code, key] of seen) {
      const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
      expect(
        messages.map((m) => m.message),
        key,
      ).toEqual([]);
    }
    console.log(`${name}: ${seen.size} shaders`);
  });
});
