/**
 * Finds series: launches of a recording that differ only in the offsets of their tensors, at equal distances in the same buffers,
 * as the layers of a model do. A series needs one pipeline and one bind group; the number of workgroups of a launch tells the
 * kernel which member it is (wgsl/assemble.ts). Setting a bind group takes a third of the time to encode a launch. A series sets
 * its own only once, at an index that no other launch uses in between.
 */
import type { GpuPass } from '../ops/spec.js';

/** The part of a buffer that a launch binds at one binding, in bytes. */
export interface Place {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** A launch as this file needs it: what it runs and where its tensors are. */
export interface LaunchPlaces {
  readonly pass: GpuPass;
  /** Key of kernel and uniforms, without tensors. Launches with equal keys may form a series. Empty unless `pass.series`. */
  readonly kind: string;
  readonly places: readonly Place[];
  /** Workgroups along x. */
  readonly x: number;
}

/** Launches that share a pipeline and a bind group. */
export interface LaunchSeries {
  /** Positions of the launches in the recording. */
  readonly members: number[];
  /** Distance in bytes from the tensors of one member to those of the next, by binding. */
  steps: number[] | undefined;
  /** Index of the bind group. */
  slot: number;
}

/** Bind group indices in order of preference; 0 comes last because single launches use it. */
const SLOTS = [1, 2, 3, 0];
/** Fewest launches for which a pipeline of their own pays off. */
const LEAST = 3;
/** WebGPU's default limit of workgroups in one dimension. */
const MOST_WORKGROUPS = 65535;

/** Finds the series among the launches of a recording. `most` is the largest number of bytes that a binding may have. */
export function findSeries(launches: readonly (LaunchPlaces | undefined)[], most: number): LaunchSeries[] {
  const all: LaunchSeries[] = [];
  const open = new Map<string, LaunchSeries>();
  const ids = new Map<GPUBuffer, number>();
  launches.forEach((launch, at) => {
    if (!launch?.pass.series) return;
    for (const { buffer } of launch.places) if (!ids.has(buffer)) ids.set(buffer, ids.size);
    const key = `${launch.kind} ${launch.places.map((p) => ids.get(p.buffer))}`;
    const series = open.get(key);
    if (series && continues(launches as readonly LaunchPlaces[], series, launch, most)) {
      series.members.push(at);
      return;
    }
    const started: LaunchSeries = { members: [at], steps: undefined, slot: 0 };
    open.set(key, started);
    all.push(started);
  });
  // A slot becomes free after the last member of the series that uses it.
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

/** True if `next` continues a series: its distance from the last member equals the distance between the members before. */
function continues(launches: readonly LaunchPlaces[], series: LaunchSeries, next: LaunchPlaces, most: number): boolean {
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

/** The memory that a series binds: from the tensors of its first member to those of its last. */
export const reach = (first: LaunchPlaces, last: LaunchPlaces): Place[] =>
  first.places.map(({ buffer, offset }, i) => ({
    buffer,
    offset,
    size: last.places[i]!.offset + last.places[i]!.size - offset,
  }));
