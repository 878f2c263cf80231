/**
 * Kernels must not count on workgroup memory being zero at first: Dawn's toggle `disable_workgroup_init`, which skips clearing it,
 * is one that users may set.
 */
import type { WebGpuBackend } from '../src/backend/webgpu.js';
import type { Kernel } from '../src/backend/wgsl/kernel.js';
import { type WgslType, workgroupVariables } from './wgsl_types.js';

/** Makes the kernels of a backend start with NaN and other garbage in workgroup memory. Counts the kernels that have any. */
export function poisoned(backend: WebGpuBackend): { kernels: number } {
  const counts = { kernels: 0 };
  backend.pipelines.prologue = (kernel) => {
    const lines = poison(kernel);
    if (lines) counts.kernels++;
    return lines;
  };
  return counts;
}

const VALUES: Record<string, string> = { f32: 'nan', f16: 'f16(nan)', u32: '12345u', i32: '12345i', bool: 'true' };

/** Statements that fill a kernel's workgroup variables; undefined if it has none. */
export function poison(kernel: Kernel): string[] | undefined {
  const variables = workgroupVariables(kernel);
  if (!variables.length) return undefined;
  return [
    '  let nan = bitcast<f32>(0x7fc00000u | lid);',
    '  if (lid < 32u) {',
    ...variables.map(([name, type]) => `    ${fill(name, type, 0)}`),
    '  }',
    '  workgroupBarrier();',
  ];
}

function fill(place: string, type: WgslType, depth: number): string {
  if (type.kind === 'array') {
    const i = `i${depth}`;
    // The threads share the outermost dimension.
    const [from, by] = depth ? ['0u', '1u'] : ['lid', '32u'];
    return `for (var ${i} = ${from}; ${i} < u32(${type.count}); ${i} += ${by}) { ${fill(`${place}[${i}]`, type.of, depth + 1)} }`;
  }
  if (type.scalar === 'atomic<u32>') return `atomicStore(&${place}, 12345u);`;
  const value = VALUES[type.scalar];
  return `${place} = ${type.kind === 'vector' ? `${type.name}(${value})` : value};`;
}
