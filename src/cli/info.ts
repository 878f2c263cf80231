/** `aim info`: runtime, adapters, the backend chosen, and what a model consists of. */
import { adapterSummary } from '../backend/create.js';
import { mixerSummaries } from '../model/mixers.js';
import { runtime } from '../platform/runtime.js';
import type { Command, Flags, Parsed } from './command.js';
import { embeddedModel, loadModel } from './model.js';
import { COMMON, commonOptions, modelOptions, NUMERICS } from './options.js';
import { print } from './terminal.js';

const FLAGS: Flags = { json: { type: 'boolean', help: 'print JSON' }, dtype: NUMERICS.dtype, ...COMMON };

export const info: Command = {
  name: 'info',
  usage: '[MODEL]',
  summary: "runtime, GPU, backend chosen, the model's parts",
  about: 'Shows the runtime, GPU, backend chosen and the model (default: the embedded one).',
  flags: FLAGS,
  run,
};

async function run({ flags, args }: Parsed, signal: AbortSignal): Promise<number> {
  const gpu = await adapterSummary(commonOptions(flags).dawn);
  const aim = await loadModel(args[0], { ...modelOptions(flags), signal });
  const { config, parameters } = aim;
  const { json: _, ...shown } = config;
  const info = {
    runtime: runtime(),
    webgpu: gpu,
    device: aim.device,
    model: args[0] ?? embeddedModel(),
    parameters,
    deviceBytes: aim.model.be.bytes,
    classes: aim.classes,
    sampling: aim.sampling,
    ignoredTensors: aim.ignored,
    config: shown,
  };
  await aim.dispose();
  if (flags.json) {
    print(`${JSON.stringify(info, null, 2)}\n`);
    return 0;
  }
  const rows: [string, string][] = [
    ['runtime', `${info.runtime.name} ${info.runtime.version}`],
    [
      'webgpu',
      'reason' in gpu ? `none: ${gpu.reason}` : `${gpu.name}${gpu.software ? ' (software: used only with --device webgpu)' : ''}`,
    ],
  ];
  if (!('reason' in gpu)) {
    rows.push(['  features', gpu.features!.join(' ')]);
    for (const [name, value] of Object.entries(gpu.limits!)) rows.push([`  ${name}`, String(value)]);
  }
  rows.push(
    ['device', info.device],
    ['model', info.model],
    ['  parameters', `${parameters.model.toLocaleString('en')} model + ${parameters.tokenizer.toLocaleString('en')} tokenizer`],
    ['  on the device', `${(info.deviceBytes / 2 ** 20).toFixed(1)} MiB`],
    ['  image', `${config.image_size}×${config.image_size} from ${config.num_tokens} tokens of ${config.vocab_size}`],
    [
      '  layers',
      `${config.n_layer} of d_model ${config.d_model}${config.mlp_hidden ? `, each with an MLP of ${config.mlp_hidden}` : ''}`,
    ],
    ...mixerSummaries(config).map((line): [string, string] => ['  mixer', line]),
    ['  adaLN', config.adaln_groups ? `${config.adaln_groups} groups` : 'per layer'],
    ['  classes', info.classes ? info.classes.map((name, i) => `${i} ${name}`).join(', ') : String(config.num_classes)],
  );
  const recommended = Object.entries(info.sampling).map(([option, value]) => `${option} ${value}`);
  if (recommended.length) rows.push(['  draws with', recommended.join(', ')]);
  if (info.ignoredTensors.length) rows.push(['  ignored tensors', info.ignoredTensors.join(', ')]);
  const width = Math.max(...rows.map(([name]) => name.length));
  print(rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join(''));
  return 0;
}
