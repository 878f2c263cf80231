/** Messages between the Train tab and its worker. */
import type { TrainStep } from 'aim-js/train';
import type { DeviceName } from 'aim-js/worker';
import type { PathFile } from './files.js';
import type { ModelSource } from './generate.js';

/** The shape of a new model. */
export interface Shape {
  d_model: number;
  n_layer: number;
  ssm_cfg: { layer: 'Mamba2'; d_state: number; headdim: number };
}

export interface Start {
  type: 'start';
  device: DeviceName;
  /** The model whose tokenizer is used, and whose weights are fine-tuned if there is no shape. */
  model: ModelSource;
  /** Address of the data set that comes with the studio: gzipped codes of the built-in tokenizer. */
  codes: string;
  /** The visitor's images in class folders, to be used instead of `codes`. */
  images: PathFile[] | undefined;
  /** A checkpoint whose run is continued; it replaces `model`. */
  checkpoint: PathFile[] | undefined;
  /** The shape of a new model; undefined to train the weights of `model` or `checkpoint`. */
  shape: Shape | undefined;
  options: { steps: number; batchSize: number; lr: number };
}

/** The settings of a run for the form. */
export interface Run {
  /** If the run was finished, `steps` is the number of steps to add. */
  options: Start['options'];
  shape: Pick<Shape, 'd_model' | 'n_layer'> & Pick<Shape['ssm_cfg'], 'd_state'>;
  /** Whether it trains on images of the visitor. */
  own: boolean;
}

export type ToTrainer = Start | { type: 'pause' } | { type: 'go-on' } | { type: 'save' } | { type: 'weights' };

/** The data of an AimImage: a message cannot carry instances of classes. */
export interface PlainImage {
  width: number;
  height: number;
  data: Float32Array;
}

export type Progressed = Pick<TrainStep, 'step' | 'steps' | 'loss' | 'imagesPerSecond' | 'tokensPerSecond' | 'secondsLeft'> & {
  held?: number;
};

export type FromTrainer =
  | { type: 'phase'; text: string; share?: number }
  | {
      type: 'ready';
      device: string;
      parameters: number;
      classes: string[];
      images: number;
      held: number;
      skipped: number;
      step: number;
      steps: number;
      /** The settings of a continued run. */
      run: Run | undefined;
      /** The first images of the data after the tokenizer. */
      seen: PlainImage[];
    }
  /** The checkpoint was trained on other data than is chosen. */
  | { type: 'other-data'; message: string; checkpoint: PathFile[] }
  | { type: 'steps'; steps: Progressed[] }
  | { type: 'samples'; step: number; images: PlainImage[] }
  | { type: 'stopped'; step: number; finished: boolean }
  | { type: 'checkpoint'; name: string; zip: Blob }
  | { type: 'weights'; step: number; config: object; weights: Blob; classes: string[] }
  | { type: 'error'; message: string };
