/** Where WebGPU is looked for first. */
import { afterEach, expect, it, vi } from 'vitest';
import { createBackend, findGpu } from '../../src/backend/create.js';
import { DeviceError } from '../../src/core/errors.js';

afterEach(() => vi.unstubAllGlobals());

it('takes navigator.gpu wherever it is, as in a page of Electron, which is Node too', async () => {
  const asked: unknown[] = [];
  const gpu = {
    async requestAdapter(options: unknown) {
      asked.push(options);
      return null;
    },
  };
  vi.stubGlobal('navigator', { gpu });
  expect(process.versions.node).toBeDefined();
  expect(await findGpu()).toEqual({ gpu });
  await expect(createBackend({ device: 'webgpu' })).rejects.toThrow(DeviceError);
  expect(asked).toEqual([{ powerPreference: 'high-performance' }]);
  expect((await createBackend({ device: 'auto', threads: 1 })).name).toBe('wasm');
});

it.each([
  ['Deno', { version: { deno: '1' } }, /this Deno has no WebGPU/],
  ['Bun', { version: '1' }, /npm package `webgpu`|no WebGPU adapter|Dawn did not start/],
])('in %s without navigator.gpu says what is missing', async (name, value, reason) => {
  vi.stubGlobal('navigator', {});
  vi.stubGlobal(name, value);
  // No driver and no package: the reason is another one where the machine has both.
  const found = await findGpu();
  if ('reason' in found) expect(found.reason).toMatch(reason);
  else expect(name).toBe('Bun');
});
