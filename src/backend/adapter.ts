/** What an adapter says about itself. */

/** True for a processor that plays a GPU. It is offered as an adapter too, but 'auto' does not use it. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return (
    info.isFallbackAdapter ||
    /swiftshader|llvmpipe|lavapipe|software|basic render/i.test(`${info.architecture} ${info.device} ${info.description}`)
  );
}

/** A GPU's name for users. */
export function describeAdapter(info: GPUAdapterInfo | undefined): string {
  if (!info) return 'unknown adapter';
  return info.description || [info.vendor, info.architecture, info.device].filter(Boolean).join(' ') || 'unnamed adapter';
}
