/** The test that `verify` passes for a golden checkpoint on every backend: one test file each, so that workers share the work. */
import { describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { bytesSource } from '../../src/checkpoint/source.js';
import { openFile } from '../../src/io/file_source.js';
import { encodeSafetensors, parseHeader, readFloats, readInts } from '../../src/io/safetensors.js';
import { verify } from '../../src/verify/run.js';
import { deviceOptions, hasAdapter, NO_ADAPTER } from '../backends.js';
import { type GOLDENS, golden, NO_GOLDENS } from '../goldens.js';

const MUST_CHECK = ['forward.logits', 'forward.loss', 'vq.decoded-from-codes'];

/** Those of a checkpoint's goldens that `wanted` matches; `change` may touch their values. */
export async function goldensOf(
  folder: string,
  wanted: RegExp,
  change: (name: string, data: Float32Array | Int32Array) => void = () => {},
) {
  const file = await openFile(`${folder}/expected.safetensors`);
  const header = await parseHeader(file);
  const tensors = [];
  for (const [name, { shape, dtype }] of header.tensors) {
    if (!wanted.test(name)) continue;
    const floats = dtype === 'F32';
    const data = floats ? await readFloats(file, header, name) : Int32Array.from(await readInts(file, header, name));
    change(name, data);
    tensors.push({ name, shape, dtype: floats ? ('F32' as const) : ('I32' as const), data });
  }
  await file.close();
  return bytesSource(encodeSafetensors(tensors));
}

/** Expects that the model meets the folder's golden values (those that `wanted` matches), those named by `mustCheck` among them. */
export async function expectGoldens(aim: AiM, folder: string, mustCheck: readonly string[], wanted?: RegExp): Promise<void> {
  const source = wanted ? await goldensOf(folder, wanted) : await openFile(`${folder}/expected.safetensors`);
  try {
    const { rows } = await verify(aim, source);
    expect(rows.filter((r) => !r.ok)).toEqual([]);
    expect(rows.map((r) => r.name)).toEqual(expect.arrayContaining([...mustCheck]));
  } finally {
    await source.close();
  }
}

/** @param wanted Goldens to check, if not all. */
export function verifyGolden(name: (typeof GOLDENS)[number], mustCheck = MUST_CHECK, wanted?: RegExp): void {
  describe(name, () => {
    for (const device of ['reference', 'wasm', 'webgpu'] as const) {
      it(device, async ({ skip }) => {
        const folder = golden(name);
        if (!folder) return skip(NO_GOLDENS);
        if (device === 'webgpu' && !(await hasAdapter())) return skip(NO_ADAPTER);
        const aim = await AiM.fromPretrained(folder, await deviceOptions(device));
        await expectGoldens(aim, folder, mustCheck, wanted).finally(() => aim.dispose());
      });
    }
  });
}
