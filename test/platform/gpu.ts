/** A hand on the GPU devices that the library makes, to lose them on purpose and to count what they hold. */
import { globals } from 'webgpu';

/** Every device made since `watchDevices`, newest last. */
export const devices: GPUDevice[] = [];
/** Called with each new device. */
export let onDevice: (device: GPUDevice) => void = () => {};
export const setOnDevice = (listener: typeof onDevice) => {
  onDevice = listener;
};

export function watchDevices(): void {
  const adapter = (globals as unknown as { GPUAdapter: { prototype: GPUAdapter } }).GPUAdapter.prototype;
  const request = adapter.requestDevice;
  adapter.requestDevice = async function (this: GPUAdapter, ...args) {
    const device = await request.apply(this, args);
    devices.push(device);
    onDevice(device);
    return device;
  };
}
