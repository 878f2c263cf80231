/**
 * Launches of a recording that differ only in where their tensors lie, evenly spaced in the same buffers, as the layers of a
 * model do, become a series: one pipeline and one bind group, and the size of a launch says which of them it is. A bind
 * group costs a third of encoding a launch; a series leaves its own bound, in a slot that nothing else takes meanwhile.
 */
import type { GpuPass } from '../ops/spec.js';

/** What a launch binds at one binding; bytes. */
export interface Place {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** A launch as far as it matters here. */
export interface Placed {
  readonly pass: GpuPass;
  /** Of its kernel and all that the kernel is told, but not of its tensors; of a pass that is `spaced`. */
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

/** Bind groups that every device has; launches on their own take the first, so that it is the last to keep anything. */
const SLOTS = [1, 2, 3, 0];
/** Launches that are worth a pipeline of their own. */
const LEAST = 3;
const MOST_WORKGROUPS = 65535;

/** The series among a recording's launches. `most` is how many bytes may be bound at a binding. */
export function findSeries(launches: readonly (Placed | undefined)[], most: number): Series[] {
  const all: Series[] = [];
  const open = new Map<string, Series>();
  const ids = new Map<GPUBuffer, number>();
  launches.forEach((launch, at) => {
    if (!launch?.pass.spaced) return;
    for (const { buffer } of launch.places) if (!ids.has(buffer)) ids.set(buffer, ids.size);
    const key = `${launch.kind} ${launch.places.map((p) => ids.get(p.buffer))}`;
    const series = open.get(key);
    if (series && continues(launches as readonly Placed[], series, launch, most)) {
      series.members.push(at);
      return;
    }
    const begun: Series = { members: [at], steps: undefined, slot: 0 };
    open.set(key, begun);
    all.push(begun);
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

/** Whether a launch is the next member: as far from the last as that from the one before. */
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

/** What a series binds: from its first member's tensors to its last's. */
export const reach = (first: Placed, last: Placed): Place[] =>
  first.places.map(({ buffer, offset }, i) => ({
    buffer,
    offset,
    size: last.places[i]!.offset + last.places[i]!.size - offset,
  }));

/** A shader's entry: workgroup size, name, parameters. */
const ENTRY = /@compute (@workgroup_size\(.+?\))\s+fn (\w+)\(((?:@[^@{]+)+)\) ?\{/;

interface EntryText {
  size: string;
  name: string;
  params: { builtin: string; name: string; type: string }[];
}

/** A shader in which another entry, `outer`, calls what was its own, now the function `inner`. Unchanged where no entry is found. */
export function aroundEntry(code: string, inner: (name: string) => string, outer: (entry: EntryText) => string): string {
  return code.replace(ENTRY, (_all, size: string, name: string, text: string) => {
    const params = [...text.matchAll(/@builtin\((\w+)\) (\w+): ?(\w+)/g)].map(([, builtin, name, type]) => ({
      builtin: builtin!,
      name: name!,
      type: type!,
    }));
    return `${outer({ size, name, params })}\nfn ${inner(name)}(${params.map((p) => `${p.name}: ${p.type}`).join(', ')}) {`;
  });
}

/** Parameters of an entry. */
export const builtins = (params: EntryText['params']) =>
  params.map((p) => `@builtin(${p.builtin}) ${p.name}: ${p.type}`).join(', ');

/**
 * The shader of a series, from that of one launch: `steps` are elements by tensor, `x` the workgroups of a launch alone. A
 * member's number is how many workgroups more it has; those do nothing.
 */
export function seriesCode(code: string, slot: number, x: number, steps: Record<string, number>): string {
  let text = code.replaceAll('@group(0)', `@group(${slot})`);
  for (const [name, step] of Object.entries(steps))
    if (step) text = text.replace(new RegExp(`(?<![\\w.])${name}\\[`, 'g'), `$&member * ${step}u + `);
  const given: Record<string, string> = { workgroup_id: 'at', num_workgroups: `vec3u(${x}u, n.yz)` };
  return aroundEntry(
    text,
    (name) => name,
    ({ size, name, params }) => `var<private> member: u32;
@compute ${size} fn series(${builtins([
      { builtin: 'workgroup_id', name: 'at', type: 'vec3u' },
      { builtin: 'num_workgroups', name: 'n', type: 'vec3u' },
      ...params.filter((p) => !given[p.builtin]),
    ])}) {
  if (at.x >= ${x}u) { return; }
  member = n.x - ${x}u;
  ${name}(${params.map((p) => given[p.builtin] ?? p.name).join(', ')});
}`,
  );
}
