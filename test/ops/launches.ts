/** Launch plans of test cases, and the limits of a WebGPU device that they need. */
import { bindingsOf, type Kernel, kernelOf } from '../../src/backend/wgsl/kernel.js';
import { BYTES } from '../../src/core/tensor.js';
import type { AnyEntry, GpuCaps, GpuLaunch, GpuPass, GpuPlan, TensorSpec } from '../../src/ops/spec.js';
import { bytesOf, constant, workgroupVariables } from '../wgsl_types.js';
import { type Case, type OpCases, takesHalf } from './harness.js';

/** Limits of every WebGPU device, and no features. */
export const DEFAULT_CAPS: GpuCaps = {
  features: new Set<string>(),
  maxWorkgroupStorage: 16384,
  maxStorageBuffers: 8,
  maxInvocations: 256,
  subgroupMinSize: 0,
  subgroupMaxSize: 0,
  software: false,
  matrices: false,
  products: 'f32',
};

/** Default limit of WebGPU on the size of one binding, bytes. */
const BINDING = 2 ** 27;
/** Limit on the workgroups in one dimension of a launch. */
const WORKGROUPS = 65535;

const SUBGROUPS = { features: new Set(['subgroups']), subgroupMinSize: 32, subgroupMaxSize: 32 };

/** Descriptions of devices; plans for them are checked without the hardware. */
export const DEVICES: Record<string, GpuCaps> = {
  'default limits': DEFAULT_CAPS,
  '10 storage buffers': { ...DEFAULT_CAPS, maxStorageBuffers: 10 },
  'default limits and subgroups': { ...DEFAULT_CAPS, ...SUBGROUPS },
  'a software GPU': { ...DEFAULT_CAPS, software: true },
  'all of an H100': {
    ...DEFAULT_CAPS,
    ...SUBGROUPS,
    features: new Set(['subgroups', 'shader-f16', 'chromium-experimental-subgroup-matrix']),
    maxWorkgroupStorage: 49152,
    maxStorageBuffers: 16,
    maxInvocations: 1024,
    matrices: true,
    products: 'f16',
  },
};

/** The plan of a case: a launch, a choice of launches, or undefined if a composite runs as its parts. */
export function wholePlanOf(entry: AnyEntry, c: Case, caps: GpuCaps): GpuPlan | undefined {
  // A dim that only omitted tensors have is 0, as in a call.
  const given = (entry.names as string[]).filter((name) => !c.omit?.includes(name));
  const known = new Set(given.flatMap((name) => (entry.tensors[name] as TensorSpec).shape.split(' ')));
  const dims: Record<string, number> = {};
  for (const name of entry.dimNames as string[]) dims[name] = known.has(name) ? ((c[name] as number | undefined) ?? 0) : 0;
  for (const name of entry.attrNames as string[]) dims[name] = (c[name] as number | undefined) ?? 0;
  return entry.webgpu(dims, caps, halvesOf(entry, c, caps));
}

/** Names of the tensors of a case that are f16 on a device. */
export const halvesOf = (entry: AnyEntry, c: Case, caps: GpuCaps): ReadonlySet<string> =>
  new Set(
    c.half?.filter((name) => {
      const tensor = entry.tensors[name] as TensorSpec | undefined;
      return tensor && takesHalf(tensor, caps);
    }),
  );

/** The launch of a case, with the usual candidate where there is a choice. */
export function planOf(entry: AnyEntry, c: Case, caps: GpuCaps): GpuLaunch | undefined {
  const plan = wholePlanOf(entry, c, caps);
  return plan && 'choice' in plan ? plan.plan(plan.usual) : plan;
}

/** All launches that a plan may choose between. */
export function candidatesOf(plan: GpuPlan | undefined): GpuLaunch[] {
  if (!plan) return [];
  return 'choice' in plan ? plan.candidates.map((candidate) => plan.plan(candidate)) : [plan];
}

/**
 * Sections and optional library files of the entries' shaders that no launch of these cases compiles on any of the devices, as
 * text.
 */
export function unreached(ops: readonly OpCases[], devices: readonly GpuCaps[]): string[] {
  const reached = new Set<string>();
  const shaders = new Set(ops.map(({ entry }) => entry.shader));
  for (const { entry, cases } of ops) {
    const { file } = entry.shader;
    for (const c of cases)
      for (const caps of devices)
        for (const pass of candidatesOf(wholePlanOf(entry, c, caps)).flatMap(passesOf)) {
          for (const name of [pass.entry ?? entry.entry, ...(pass.sections ?? [])]) reached.add(`${file} ${name}`);
          for (const name of pass.include ?? []) reached.add(`${file} lib/${name}.wgsl`);
        }
  }
  return [...shaders].flatMap(({ file, sections, optional }) => {
    const names = [...Object.keys(sections), ...Object.keys(optional).map((name) => `lib/${name}.wgsl`)];
    const left = names.filter((name) => !reached.has(`${file} ${name}`));
    return left.map((name) => `shaders/${file}: no case launches ${name}`);
  });
}

export const passesOf = (plan: GpuLaunch | undefined): GpuPass[] => (!plan ? [] : 'passes' in plan ? plan.passes : [plan]);

/** Says if a case is launched by kernels of its own on such a device; if not, a composite runs as its parts. */
export function launches(entry: AnyEntry, c: Case, caps: GpuCaps): boolean {
  const plan = planOf(entry, c, caps);
  if (!entry.parts) return true;
  return plan !== undefined && passesOf(plan).every((pass) => bindingsOf(entry, pass).length <= caps.maxStorageBuffers);
}

/** Returns the limits of `caps` that the launches of a case exceed, as text. */
export function excess(entry: AnyEntry, c: Case, caps: GpuCaps): string[] {
  if (!launches(entry, c, caps)) return [];
  const plan = planOf(entry, c, caps)!;
  const wrong: string[] = [];
  const most = (what: string, got: number, limit: number) => {
    if (!(got <= limit)) wrong.push(`${entry.key} ${JSON.stringify(c)}: ${got} ${what}, at most ${limit}`);
  };
  for (const pass of passesOf(plan)) {
    const name = pass.entry ?? entry.entry;
    const made = kernelOf(entry, pass, halvesOf(entry, c, caps));
    const { threads, bytes } = workgroup(made);
    most(`storage buffers in ${name}`, made.bindings.length, caps.maxStorageBuffers);
    most(`invocations in ${name}`, threads, caps.maxInvocations);
    most(`bytes of workgroup memory in ${name}`, bytes, caps.maxWorkgroupStorage);
    for (const n of pass.workgroups) most(`workgroups of ${name}`, n ?? 1, WORKGROUPS);
    for (const feature of made.enable)
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
