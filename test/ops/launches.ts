/** What the launches of an op's cases ask of a WebGPU device, found from their plans and kernels. */
import { bindingsOf, type Kernel, kernelOf } from '../../src/backend/wgsl/kernel.js';
import { BYTES } from '../../src/core/tensor.js';
import type { AnyEntry, GpuCaps, GpuLaunch, GpuPass } from '../../src/ops/spec.js';
import { bytesOf, constant, workgroupVariables } from '../wgsl_types.js';
import type { Case } from './harness.js';

/** Limits of every WebGPU device, and no features. */
export const DEFAULT_CAPS: GpuCaps = {
  features: new Set<string>(),
  maxWorkgroupStorage: 16384,
  maxStorageBuffers: 8,
  maxInvocations: 256,
  subgroupMinSize: 0,
  subgroupMaxSize: 0,
  matrices: false,
  products: 'f32',
};

/** Bytes that one binding may have by WebGPU's defaults. */
const BINDING = 2 ** 27;
/** Workgroups that a dimension of a launch may have. */
const WORKGROUPS = 65535;

/** A case's launch, with the usual candidate where there is a choice. */
export function planOf(entry: AnyEntry, c: Case, caps: GpuCaps): GpuLaunch | undefined {
  const dims: Record<string, number> = {};
  for (const name of [...entry.dimNames, ...entry.attrNames]) dims[name] = (c[name] as number | undefined) ?? 0;
  const plan = entry.webgpu(dims, caps, new Set(c.half ?? []));
  return plan && 'choice' in plan ? plan.plan(plan.usual) : plan;
}

export const passesOf = (plan: GpuLaunch | undefined): GpuPass[] => (!plan ? [] : 'passes' in plan ? plan.passes : [plan]);

const kernel = (entry: AnyEntry, pass: GpuPass, c: Case) => kernelOf(entry, pass, new Set(c.half ?? []));

/** Whether a case is launches of its own here, rather than the parts of a composite. */
export function launches(entry: AnyEntry, c: Case, caps: GpuCaps): boolean {
  const plan = planOf(entry, c, caps);
  if (!entry.parts) return true;
  return plan !== undefined && passesOf(plan).every((pass) => bindingsOf(entry, pass).length <= caps.maxStorageBuffers);
}

/** What a case's launches take beyond the limits of `caps`, as text. */
export function excess(entry: AnyEntry, c: Case, caps: GpuCaps): string[] {
  if (!launches(entry, c, caps)) return [];
  const plan = planOf(entry, c, caps)!;
  const wrong: string[] = [];
  const most = (what: string, got: number, limit: number) => {
    if (!(got <= limit)) wrong.push(`${entry.key} ${JSON.stringify(c)}: ${got} ${what}, at most ${limit}`);
  };
  for (const pass of passesOf(plan)) {
    const name = pass.entry ?? entry.entry;
    const made = kernel(entry, pass, c);
    const { threads, bytes } = workgroup(made);
    most(`storage buffers in ${name}`, made.bindings.length, caps.maxStorageBuffers);
    most(`invocations in ${name}`, threads, caps.maxInvocations);
    most(`bytes of workgroup memory in ${name}`, bytes, caps.maxWorkgroupStorage);
    for (const n of pass.workgroups) most(`workgroups of ${name}`, n ?? 1, WORKGROUPS);
    for (const feature of pass.enable ?? [])
      if (!caps.features.has(FEATURE[feature]!)) wrong.push(`${entry.key} ${JSON.stringify(c)}: there is no ${feature}`);
  }
  if ('passes' in plan)
    for (const [name, size] of Object.entries(plan.workspaces)) most(`bytes of ${name}`, size * BYTES.f32, BINDING);
  return wrong;
}

/** The device's feature behind a language extension. */
const FEATURE: Record<string, string> = {
  f16: 'shader-f16',
  subgroups: 'subgroups',
  chromium_experimental_subgroup_matrix: 'chromium-experimental-subgroup-matrix',
};

/** Threads and memory of a workgroup. */
function workgroup(kernel: Kernel): { threads: number; bytes: number } {
  const sizes = workgroupVariables(kernel).map(([, type]) => Math.ceil(bytesOf(type, kernel) / 16) * 16);
  return { threads: constant(kernel.threads, kernel), bytes: sizes.reduce((a, b) => a + b, 0) };
}
