/** The studio: AiM drawing, learning and explaining itself in one page. */
import { byId } from './dom.js';
import { dropped, isCheckpoint, isZip, nameOf, withPaths } from './files.js';
import { onModel, open, startGenerate } from './generate.js';
import { inspect, startInspect } from './inspect.js';
import { openTab, showTab, startTabs } from './tabs.js';
import { startTrain, suggest, take } from './train.js';

startTabs();
startTrain();
startInspect();
onModel(inspect);
onModel(({ backend }) => suggest(backend));
startGenerate();

/** Files may be dropped anywhere: a checkpoint to draw with, or on the Train tab to go on from; all else is to be trained on. */
const target = byId('panels');
addEventListener('dragover', (event) => {
  event.preventDefault();
  target.classList.add('dropping');
});
addEventListener('dragleave', (event) => {
  if (event.relatedTarget === null) target.classList.remove('dropping');
});
addEventListener('drop', (event) => {
  event.preventDefault();
  target.classList.remove('dropping');
  if (!event.dataTransfer) return;
  void dropped(event.dataTransfer).then((files) => {
    if (openTab() !== 'train' && isCheckpoint(files) && !isZip(files))
      return open({ name: nameOf(files), from: withPaths(files) });
    showTab('train');
    take(files);
  });
});
