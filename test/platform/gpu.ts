/** Access to the GPU devices that the library creates (Dawn), to lose them on purpose. */
import { globals } from 'webgpu';

/** Every device made since the import, newest last. */
export const devices: GPUDevice[] = [];
let listener: ((device: GPUDevice) => void) | undefined;

/** Runs `work` with `then` called for each device made meanwhile. */
export async function withDevices<R>(then: (device: GPUDevice) => void, work: () => Promise<R>): Promise<R> {
  listener = then;
  try {
    return await work();
  } finally {
    listener = undefined;
  }
}

/** Has the visible effects of a driver reset. */
export const lose = () => devices.at(-1)!.destroy();

const adapter = (globals as unknown as { GPUAdapter: { prototype: GPUAdapter } }).GPUAdapter.prototype;
const request = adapter.requestDevice;
adapter.requestDevice = async function (this: GPUAdapter, ...args) {
  const device = await request.apply(this, args);
  devices.push(device);
  listener?.(device);
  return device;
};
