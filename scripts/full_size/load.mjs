/**
 * One load in a process of its own: prints { seconds, cpu, peak, device, ignored } as a line of JSON, then { wrong }, the tensors among some
 * that do not have their values to the bit; then saves or draws, if asked to. Its argument is { source, options, save, draw } as JSON.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { AiM } from 'aim-js';

/**
 * Most memory of this process so far, in bytes. Not resourceUsage().maxRSS, in which Linux counts what the process was before it
 * became Node: a copy of its parent.
 */
function peak() {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}

const print = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const { source, options, save, draw } = JSON.parse(process.argv[2]);
let begun = [performance.now(), process.cpuUsage()];
/** Seconds since `begun`, by the clock and of all threads. */
function times() {
  const { user, system } = process.cpuUsage(begun[1]);
  return { seconds: (performance.now() - begun[0]) / 1000, cpu: (user + system) / 1e6 };
}
const aim = await AiM.fromPretrained(source, options);
print({ ...times(), peak: peak(), device: aim.device, ignored: aim.ignored });
print({ wrong: await wrongTensors() });
if (save) await aim.save(save);
if (draw) {
  begun = [performance.now(), process.cpuUsage()];
  const { images, labels } = await aim.generate({ classes: [draw.class], seed: 1 });
  const drawn = times();
  writeFileSync(draw.out, await images[0].toPNG());
  print({ ...drawn, peak: peak(), label: labels[0], width: images[0].width, height: images[0].height });
}
await aim.dispose();

/** Compares every 40th tensor, which are of all kinds, with its values. */
async function wrongTensors() {
  const { TENSORS, UNUSED, valuesOf } = await import('./files.mjs');
  const wrong = [];
  for (const [i, tensor] of TENSORS.entries()) {
    if (i % 40 || tensor.name === UNUSED) continue;
    const [got, want] = [await aim.model.read(tensor.name), valuesOf(tensor)];
    // On the device the weight [o, c, h, w] of a convolution is [o, h, w, c].
    const [, c = 1, h = 1, w = 1] = tensor.shape.length === 4 ? tensor.shape : [];
    const [taps, block] = [h * w, c * h * w];
    const isSame = want.every((value, at) => {
      const inside = at % block;
      return got[at - inside + (inside % taps) * c + Math.floor(inside / taps)] === value;
    });
    if (!isSame) wrong.push(tensor.name);
  }
  return wrong;
}
