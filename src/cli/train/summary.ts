/** What `aim train` prints before it starts. */
import type { AiM } from '../../aim.js';
import type { Data } from '../../data/open.js';
import { countParams } from '../../model/params.js';
import { tokenizerOf } from '../../model/tokenizers.js';
import { DISCRIMINATORS } from '../../train/discriminators.js';
import type { FeatureNetwork } from '../../train/features.js';
import { bytesText, trainingBytes } from '../../train/memory.js';
import type { RunOptions } from '../../train/options.js';
import type { Stage } from '../../train/stage1.js';
import type { Trainer } from '../../train/trainer.js';
import { counted } from '../terminal.js';

/** Classes listed with their numbers of images. */
const SHOWN = 20;

/** `data: 1,791 images, 168 held out; 6 classes: animal 418 (26 held out), …` */
export function describeData(data: Data): string {
  const parts =
    data.kind === 'codes'
      ? { train: data.codes.labels, held: data.codes.eval?.labels, classes: data.codes.classes }
      : {
          train: labelsOf(data.train),
          held: data.eval && labelsOf(data.eval),
          classes: data.train.classes,
        };
  const { train, held, classes } = parts;
  const of = count(train, classes.length);
  const ofHeld = held && count(held, classes.length);
  const each = classes.slice(0, SHOWN).map((name, i) => `${name} ${n(of[i]!)}${ofHeld ? ` + ${n(ofHeld[i]!)}` : ''}`);
  const more = classes.length > SHOWN ? `, and ${classes.length - SHOWN} more` : '';
  const heldText = held ? ` + ${n(held.length)} held out` : ', none held out';
  const one = classes.length === 1 ? ', so that every image has the same label' : '';
  const images = `${counted(train.length, 'image')}${data.kind === 'codes' ? ' as codes' : ''}${heldText}`;
  return `${images}\n${counted(classes.length, 'class', 'classes')}: ${each.join(', ')}${more}${one}`;
}

const labelsOf = ({ length, label }: { length: number; label(i: number): number }) =>
  Uint32Array.from({ length }, (_, i) => label(i));

function count(labels: Uint32Array, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]!++;
  return counts;
}

const n = (value: number) => value.toLocaleString('en');
const millions = (value: number) => `${(value / 1e6).toPrecision(3)} million`;

/** The size of the images, tokens and parameters, one line each. */
export function describeModel(aim: AiM, stage: Stage): string {
  const { image_size: size, num_tokens, vocab_size, d_model, n_layer, tokenizer } = aim.config;
  const side = Math.sqrt(num_tokens);
  const factor = tokenizerOf(tokenizer).factor(tokenizer);
  const { model, tokenizer: ofTokenizer } = aim.parameters;
  const stage2 = `stage 2, ${millions(model)} parameters (d_model ${d_model}, ${counted(n_layer, 'layer')}); its tokenizer, `;
  return [
    `images: ${size}×${size} pixels as ${side}×${side} = ${n(num_tokens)} tokens, each ${factor}×${factor} pixels and one of ${n(vocab_size)} codes`,
    `training: ${stage === 'model' ? `${stage2}${millions(ofTokenizer)}, stays as it is` : `tokenizer, ${millions(ofTokenizer)} parameters`}`,
  ].join('\n');
}

/** `losses: l1, lpips × 1, discriminator patchgan (2.77 million parameters) × 0.5 from step 20,000`, or nothing for the usual ones. */
function describeLosses(o: RunOptions, perceptual: FeatureNetwork | undefined, size: number): string[] {
  const of = o.discriminator === 'none' ? undefined : DISCRIMINATORS[o.discriminator].trees(size, o.discChannels);
  const adaptive = o.adaptive ? ', adaptive' : '';
  const parts = [
    ...(perceptual ? [`${perceptual.name} × ${o.perceptualWeight}`] : []),
    ...(of
      ? [
          `discriminator ${o.discriminator} (${millions(countParams(of.params))} parameters) × ${o.discWeight}${adaptive} from step ${n(o.discStart)}`,
        ]
      : []),
  ];
  const restarts = o.restartCodes ? [`codes restart after ${counted(o.restartCodes, 'step')} without use`] : [];
  const chosen = parts.length > 0 || o.loss !== 'l2';
  return [...(chosen ? [`losses: ${[o.loss, ...parts].join(', ')}`] : []), ...restarts];
}

/** Steps, learning rate, what is chosen of losses, and memory, one line each. */
export function describeTraining(
  trainer: Trainer,
  aim: AiM,
  { crops, perceptual }: { crops: number; perceptual: FeatureNetwork | undefined },
): string {
  const { options } = trainer;
  const { steps, batchSize, lr, schedule, warmup, evalEvery } = options;
  const epochs = Number((steps / trainer.stepsPerEpoch).toPrecision(2));
  const each = crops > 0 ? ` over ${counted(crops, 'random crop')} of each image` : '';
  const warm = warmup ? `, ${n(warmup)} of them warm-up` : '';
  const frozen = frozenSize(trainer, aim);
  const evaluated = evalEvery ? `; evaluated and saved every ${n(evalEvery)}` : '';
  const from = trainer.stepsDone ? `; ${n(trainer.stepsDone)} are done` : '';
  return [
    `steps: ${n(steps)} of ${counted(batchSize, 'image')} (${counted(epochs, 'epoch')}${each})${warm}${evaluated}${from}`,
    `learning rate: ${lr}, ${schedule}; weight decay ${options.weightDecay}`,
    ...(frozen ? [`frozen: ${millions(frozen)} parameters, by ${options.freeze.join(', ')}`] : []),
    ...describeLosses(options, perceptual, aim.config.image_size),
    `memory: about ${bytesText(trainingBytes(aim.model, options, perceptual))} on the device`,
  ].join('\n');
}

/** Parameters of the trained stage that keep their values. */
function frozenSize({ frozen }: Trainer, aim: AiM): number {
  const named = aim.model.named();
  return [...frozen].reduce((sum, name) => sum + named.get(name)!.tensor.size, 0);
}
