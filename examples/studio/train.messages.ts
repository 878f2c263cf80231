/** What goes between the Train tab and its worker. */
import type { TrainStep } from 'aim-js/train';
import type { DeviceName } from 'aim-js/worker';
import type { PathFile } from './files.js';

/** What is trained: a fresh model of this shape, or (without) the weights at hand. */
export interface Shape {
  d_model: number;
  n_layer: number;
  ssm_cfg: { layer: 'Mamba2'; d_state: number; headdim: number };
}

export interface Start {
  type: 'start';
  device: DeviceName;
  /** Folder of the embedded model, whose tokenizer is used. */
  model: string;
  /** Codes of the data set that comes with the studio, gzipped. */
  codes: string;
  /** Images in class folders, in place of that. */
  images: PathFile[] | undefined;
  /** A checkpoint to go on from, in place of the embedded model. */
  checkpoint: PathFile[] | undefined;
  shape: Shape | undefined;
  options: { steps: number; batchSize: number; lr: number };
}

/** A run as the form shows it. */
export interface Run {
  /** Of a run that was finished, `steps` are those to come. */
  options: Start['options'];
  shape: Pick<Shape, 'd_model' | 'n_layer'> & Pick<Shape['ssm_cfg'], 'd_state'>;
  /** On images of the visitor's. */
  own: boolean;
}

export type ToTrainer = Start | { type: 'pause' } | { type: 'go-on' } | { type: 'save' } | { type: 'weights' };

/** An AimImage as a message can carry it. */
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
      /** What a run that goes on has been trained with. */
      run: Run | undefined;
      /** The first of the data, as the tokenizer keeps them. */
      seen: PlainImage[];
    }
  /** The checkpoint's run was trained on data that is not here. */
  | { type: 'other-data'; message: string; checkpoint: PathFile[] }
  | { type: 'steps'; steps: Progressed[] }
  | { type: 'samples'; step: number; images: PlainImage[] }
  | { type: 'stopped'; step: number; finished: boolean }
  | { type: 'checkpoint'; name: string; zip: Blob }
  | { type: 'weights'; step: number; config: object; weights: Blob; classes: string[] }
  | { type: 'error'; message: string };
