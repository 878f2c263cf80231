/**
 * One load in a process of its own: prints { seconds, peak, device } as a line of JSON; then saves or draws, if asked to. Its argument
 * is { source, options, save, draw } as JSON.
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
let begun = performance.now();
const seconds = () => (performance.now() - begun) / 1000;
const aim = await AiM.fromPretrained(source, options);
print({ seconds: seconds(), peak: peak(), device: aim.device, ignored: aim.ignored });
if (save) await aim.save(save);
if (draw) {
  begun = performance.now();
  const { images, labels } = await aim.generate({ classes: [draw.class], seed: 1 });
  const drawn = seconds();
  writeFileSync(draw.out, await images[0].toPNG());
  print({ drawn, peak: peak(), label: labels[0], width: images[0].width, height: images[0].height });
}
await aim.dispose();
