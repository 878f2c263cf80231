/**
 * Finds launches of a recording that differ only in where their tensors lie, at equal distances in the same buffers, as the layers
 * of a model do. They become a series: one pipeline and one bind group, and the size of a launch says which member it is
 * (wgsl/assemble.ts). Setting a bind group costs a third of encoding a launch; a series sets its own once, at an index that no
 * other launch uses in between.
 */
import type { GpuPass } from '../ops/spec.js';

/** What a launch binds at one binding; bytes. */
export interface Place {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** What matters of a launch here. */
export interface Placed {
  readonly pass: GpuPass;
  /** Key of kernel and uniforms, without tensors: launches with equal keys may form a series. Empty unless `pass.series`. */
  readonly kind: string;
  readonly places: readonly Place[];
  readonly x: number;
}

export interface Series {
  /** Positions in the recording. */
  readonly members: number[];
  /** Bytes from one member's tensors to the next one's, by binding. */
  steps: number[] | undefined;
  /** The bind group's index. */
  slot: number;
}

/** Bind group indices in order of preference; 0 comes last because single launches use it. */
const SLOTS = [1, 2, 3, 0];
/** The fewest launches that are worth a pipeline of their own. */
const LEAST = 3;
const MOST_WORKGROUPS = 65535;

/** The series among a recording's launches. `most` is how many bytes may be bound at a binding. */
export function findSeries(launches: readonly (Placed | undefined)[], most: number): Series[] {
  const all: Series[] = [];
  const open = new Map<string, Series>();
  const ids = new Map<GPUBuffer, number>();
  launches.forEach((launch, at) => {
    if (!launch?.pass.series) return;
    for (const { buffer } of launch.places) if (!ids.has(buffer)) ids.set(buffer, ids.size);
    const key = `${launch.kind} ${launch.places.map((p) => ids.get(p.buffer))}`;
    const series = open.get(key);
    if (series && continues(launches as readonly Placed[], series, launch, most)) {
      series.members.push(at);
      return;
    }
    const started: Series = { members: [at], steps: undefined, slot: 0 };
    open.set(key, started);
    all.push(started);
  });
  // A slot is free again after the last member of the series that has it.
  const until = SLOTS.map(() => -1);
  return all.filter((series) => {
    const { members } = series;
    const free = members.length < LEAST ? undefined : SLOTS.find((slot) => until[slot]! < members[0]!);
    if (free === undefined) return false;
    series.slot = free;
    until[free] = members.at(-1)!;
    return true;
  });
}

/** True if a launch is the next member: as far from the last member as that one is from the member before it. */
function continues(launches: readonly Placed[], series: Series, next: Placed, most: number): boolean {
  const { members } = series;
  const first = launches[members[0]!]!;
  const last = launches[members.at(-1)!]!;
  const steps = next.places.map((p, i) => p.offset - last.places[i]!.offset);
  const fits =
    first.x + members.length <= MOST_WORKGROUPS &&
    next.places.every((p, i) => p.offset + p.size - first.places[i]!.offset <= most) &&
    steps.every((step, i) => (series.steps ? step === series.steps[i] : step >= 0));
  if (fits) series.steps = steps;
  return fits;
}

/** What a series binds: from its first member's tensors to its last member's. */
export const reach = (first: Placed, last: Placed): Place[] =>
  first.places.map(({ buffer, offset }, i) => ({
    buffer,
    offset,
    size: last.places[i]!.offset + last.places[i]!.size - offset,
  }));
