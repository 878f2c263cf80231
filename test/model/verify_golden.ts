/** The test that `verify` passes for a golden checkpoint on every backend: one test file each, so that workers share the work. */
import { describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { openFile } from '../../src/io/file_source.js';
import { verify } from '../../src/verify/run.js';
import { deviceOptions, hasAdapter, NO_ADAPTER } from '../backends.js';
import { type GOLDENS, golden, NO_GOLDENS } from '../goldens.js';

const MUST_CHECK = ['forward.logits', 'forward.loss', 'vq.decoded-from-codes'];

/** Expects that the model meets all golden values of the folder, those named by `mustCheck` among them. */
export async function expectGoldens(aim: AiM, folder: string, mustCheck: readonly string[]): Promise<void> {
  const source = await openFile(`${folder}/expected.safetensors`);
  try {
    const { rows } = await verify(aim, source);
    expect(rows.filter((r) => !r.ok)).toEqual([]);
    expect(rows.map((r) => r.name)).toEqual(expect.arrayContaining([...mustCheck]));
  } finally {
    await source.close();
  }
}

export function verifyGolden(name: (typeof GOLDENS)[number]): void {
  describe(name, () => {
    for (const device of ['reference', 'wasm', 'webgpu'] as const) {
      it(device, async ({ skip }) => {
        const folder = golden(name);
        if (!folder) return skip(NO_GOLDENS);
        if (device === 'webgpu' && !(await hasAdapter())) return skip(NO_ADAPTER);
        const aim = await AiM.fromPretrained(folder, await deviceOptions(device));
        await expectGoldens(aim, folder, MUST_CHECK).finally(() => aim.dispose());
      });
    }
  });
}
