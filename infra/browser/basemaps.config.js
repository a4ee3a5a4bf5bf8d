// The map's background, from the bundle alone: land, sea and the meridians and parallels.
import VectorLayer from 'ol/layer/Vector.js';
import Graticule from 'ol/layer/Graticule.js';
import VectorSource from 'ol/source/Vector.js';
import TopoJSON from 'ol/format/TopoJSON.js';
import { Fill, Stroke, Style, Text } from 'ol/style.js';

const LAND = new Style({
  fill: new Fill({ color: '#eef0e6' }),
  stroke: new Stroke({ color: '#8a9a8c', width: 1 })
});

const label = (textBaseline, textAlign) =>
  new Text({ font: '11px sans-serif', textBaseline, textAlign, fill: new Fill({ color: '#55656f' }) });

const degrees = (value, positive, negative) =>
  `${Number(Math.abs(value).toFixed(3))}° ${value < 0 ? negative : positive}`;

// STAC Browser makes a tile layer of every basemap; `layerCreated` may put another in its place.
function landLayer(_layer, _source, map) {
  map.getTargetElement().style.backgroundColor = '#d8e5ec';
  map.addLayer(new Graticule({
    strokeStyle: new Stroke({ color: 'rgba(85, 101, 111, 0.35)', width: 1 }),
    intervals: [30, 10, 5, 2.5, 1, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01],
    showLabels: true,
    lonLabelStyle: label('bottom', 'center'),
    latLabelStyle: label('bottom', 'end'),
    lonLabelFormatter: (lon) => degrees(lon, 'E', 'W'),
    latLabelFormatter: (lat) => degrees(lat, 'N', 'S'),
    targetSize: 120,
    wrapX: true,
    zIndex: 1
  }));
  return new VectorLayer({
    source: new VectorSource({
      url: './land.json',
      format: new TopoJSON(),
      attributions: 'Land: Natural Earth'
    }),
    style: LAND,
    title: 'Natural Earth',
    base: true
  });
}

export default function configureBasemap() {
  return [
    { is: 'XYZ', title: 'Natural Earth', projection: 'EPSG:3857', layerCreated: landLayer }
  ];
}
