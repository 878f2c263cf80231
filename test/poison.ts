/**
 * Kernels must not count on workgroup memory being zero at first: Dawn's toggle `disable_workgroup_init`, which spares clearing it,
 * is one that users may set.
 */
import { aroundEntry, builtins } from '../src/backend/gpu_series.js';

/** Workgroup variables of a shader: name and type. */
export const SHARED = /^var<workgroup> (\w+): ?(.+);/gm;

/** A device whose kernels find NaN and other nonsense in their workgroup memory. Counts the kernels that have any. */
export function poisoned(device: GPUDevice): { kernels: number } {
  const counts = { kernels: 0 };
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = (descriptor) => {
    const code = poison(descriptor.code);
    if (code !== descriptor.code) counts.kernels++;
    return create({ ...descriptor, code });
  };
  return counts;
}

function poison(code: string): string {
  const shared = [...code.matchAll(SHARED)];
  if (!shared.length) return code;
  const aliases = Object.fromEntries([...code.matchAll(/^alias (\w+) ?= ?(.+);/gm)].map(([, name, is]) => [name!, is!]));
  const fill = (place: string, type: string, depth: number): string => {
    if (aliases[type]) return fill(place, aliases[type], depth);
    const array = /^array<(.+), ?([^<>]+)>$/.exec(type);
    if (array) {
      const i = `i${depth}`;
      const body = fill(`${place}[${i}]`, array[1]!, depth + 1);
      // The outermost dimension is shared out among the threads.
      const [from, by] = depth ? ['0u', '1u'] : ['poison_lid', '32u'];
      return `for (var ${i} = ${from}; ${i} < u32(${array[2]}); ${i} += ${by}) { ${body} }`;
    }
    if (type === 'atomic<u32>') return `atomicStore(&${place}, 12345u);`;
    const vector = /^vec[234](?:<(\w+)>|([fui]))$/.exec(type);
    const scalar = vector ? (vector[1] ?? vector[2])! : type;
    const value = { f: 'nan', f32: 'nan', f16: 'f16(nan)', u: '12345u', u32: '12345u', i: '12345i', i32: '12345i', bool: 'true' }[
      scalar
    ];
    if (!value) throw new Error(`poison: the type ${type} is not known`);
    return `${place} = ${vector ? `${type}(${value})` : value};`;
  };
  const fills = shared.map(([, name, type]) => fill(name!, type!, 0)).join('\n    ');
  const text = aroundEntry(
    code,
    (name) => `${name}_`,
    ({ size, name, params }) => {
      const lid = params.find((p) => p.builtin === 'local_invocation_index')?.name ?? 'poison_index';
      const all = params.some((p) => p.name === lid)
        ? params
        : [...params, { builtin: 'local_invocation_index', name: lid, type: 'u32' }];
      return `@compute ${size} fn ${name}(${builtins(all)}) {
  let poison_lid = ${lid};
  let nan = bitcast<f32>(0x7fc00000u | poison_lid);
  if (poison_lid < 32u) {
    ${fills}
  }
  workgroupBarrier();
  ${name}_(${params.map((p) => p.name).join(', ')});
}`;
    },
  );
  if (text === code) throw new Error(`poison: no entry is found in\n${code}`);
  return text;
}
