// A world of blocks, drawn only when something changes: one mesh of exposed faces, one of guesses, lines, two bodies.
// It says what was pointed at; what that means is for the session to decide.
import { THREE, OrbitControls } from "nicegui-scene";

// The six sides of a cell as DIRECTIONS has them: the way out, its shade, its corners.
const SIDES = [
  [[1, 0, 0], 0.8, [[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]]],
  [[-1, 0, 0], 0.72, [[0, 0, 1], [0, 1, 1], [0, 1, 0], [0, 0, 0]]],
  [[0, 1, 0], 1.0, [[0, 1, 1], [1, 1, 1], [1, 1, 0], [0, 1, 0]]],
  [[0, -1, 0], 0.5, [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]]],
  [[0, 0, 1], 0.9, [[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]],
  [[0, 0, -1], 0.64, [[0, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]]],
];
const AIR = 0;
const STILL = 6; // pixels that a click may wander
const STRONG = navigator.hardwareConcurrency > 2; // smooth edges double the cost where there is no graphics card

// Faces gathered into one mesh; `cells` tells whose face each is.
class Faces {
  constructor() {
    this.position = [];
    this.colour = [];
    this.cells = [];
    this.lines = [];
    this.lineColour = [];
  }
  add(cell, side, rgb, alpha, inset, line) {
    const [, shade, corners] = SIDES[side];
    const at = corners.map((corner) => corner.map((c, axis) => cell[axis] + inset + c * (1 - 2 * inset)));
    for (const i of [0, 1, 2, 0, 2, 3]) {
      this.position.push(...at[i]);
      this.colour.push(rgb.r * shade, rgb.g * shade, rgb.b * shade, alpha);
    }
    this.cells.push([cell, side]);
    for (const i of [0, 1, 2, 3]) {
      this.lines.push(...at[i], ...at[(i + 1) % 4]);
      for (let end = 0; end < 2; end++) this.lineColour.push(line.r, line.g, line.b);
    }
  }
  mesh(transparent) {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.Float32BufferAttribute(this.position, 3));
    geometry.setAttribute("color", new THREE.Float32BufferAttribute(this.colour, 4));
    const material = new THREE.MeshBasicMaterial({ vertexColors: true, transparent, depthWrite: !transparent });
    if (!transparent) Object.assign(material, { polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 });
    const mesh = new THREE.Mesh(geometry, material);
    mesh.cells = this.cells;
    mesh.renderOrder = transparent ? 2 : 0;
    return mesh;
  }
  edges(opacity) {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.Float32BufferAttribute(this.lines, 3));
    geometry.setAttribute("color", new THREE.Float32BufferAttribute(this.lineColour, 3));
    return new THREE.LineSegments(
      geometry,
      new THREE.LineBasicMaterial({ vertexColors: true, transparent: true, opacity }),
    );
  }
}

function frame(cell, size, colour, opacity) {
  const box = new THREE.EdgesGeometry(new THREE.BoxGeometry(size, size, size));
  const lines = new THREE.LineSegments(box, new THREE.LineBasicMaterial({ color: colour, transparent: true, opacity }));
  lines.position.set(cell[0] + 0.5, cell[1] + 0.5, cell[2] + 0.5);
  lines.renderOrder = 3;
  return lines;
}

export default {
  template: `<div class="voxels"><canvas></canvas></div>`,
  props: { world: Object, tool: String, kind: Number, threshold: Number, outline: Boolean },
  mounted() {
    const canvas = this.$el.firstElementChild;
    this.stage = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(32, 1, 0.5, 200);
    this.painter = new THREE.WebGLRenderer({ canvas, antialias: STRONG, alpha: true, powerPreference: "low-power" });
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.maxPolarAngle = Math.PI / 2 - 0.05;
    this.controls.addEventListener("change", () => this.draw());
    this.content = new THREE.Group();
    this.pointer = new THREE.Group();
    this.stage.add(this.content, this.pointer);
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.$el);
    canvas.addEventListener("pointerdown", (event) => {
      this.pressed = { x: event.clientX, y: event.clientY, id: event.pointerId, time: event.timeStamp };
      if (!event.isPrimary) this.pressed = null;
    });
    canvas.addEventListener("pointerup", (event) => this.released(event));
    canvas.addEventListener("pointermove", (event) => event.buttons || this.point(event));
    canvas.addEventListener("pointerleave", () => this.pointAt(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    this.fit();
    this.build();
  },
  beforeUnmount() {
    this.observer.disconnect();
    this.controls.dispose();
    this.painter.dispose();
  },
  watch: {
    world() { this.build(); },
    threshold() { this.build(); },
    outline() { this.build(); },
    tool() { this.pointAt(null); },
  },
  methods: {
    fit() {
      const { clientWidth: width, clientHeight: height } = this.$el;
      if (!width || !height) return;
      this.painter.setPixelRatio(STRONG ? Math.min(window.devicePixelRatio, 2) : 1);
      this.painter.setSize(width, height, false);
      this.camera.aspect = width / height;
      this.camera.updateProjectionMatrix();
      if (this.world && !this.moved) this.home();
      this.draw();
    },
    home() {
      const [x, y, z] = this.world.shape;
      const far = (1.62 * Math.hypot(x, y, z)) / Math.min(1, Math.max(0.55, this.camera.aspect * 0.85));
      this.controls.target.set(x / 2, y * 0.32, z / 2);
      this.camera.position.set(x / 2 + far * 0.6, y * 0.32 + far * 0.52, z / 2 + far * 0.72);
      this.controls.update();
    },
    draw() {
      if (this.waiting) return;
      this.waiting = requestAnimationFrame(() => {
        this.waiting = 0;
        this.painter.render(this.stage, this.camera);
        this.$el.dataset.turn = this.world ? this.world.turn : "";
        this.$el.dataset.frames = Number(this.$el.dataset.frames || 0) + 1;
      });
    },
    clear(group) {
      for (const child of [...group.children]) {
        group.remove(child);
        child.geometry.dispose();
        child.material.dispose();
      }
    },
    index([x, y, z]) {
      const [, height, depth] = this.world.shape;
      return (x * height + y) * depth + z;
    },
    at(cell) {
      const inside = cell.every((c, axis) => c >= 0 && c < this.world.shape[axis]);
      return inside ? this.world.blocks[this.index(cell)] : AIR;
    },
    cellOf(index) {
      const [, height, depth] = this.world.shape;
      return [Math.floor(index / (height * depth)), Math.floor(index / depth) % height, index % depth];
    },
    build() {
      if (!this.world) return;
      const { shape, blocks, touched, colours, glass, players, feet, ghosts, goal, intent, waiting } = this.world;
      this.clear(this.content);
      const palette = colours.map((colour) => new THREE.Color(colour));
      const tints = [new THREE.Color("#000000"), ...players.map((colour) => new THREE.Color(colour))];
      const solid = new Faces(), clear = new Faces(), ghost = new Faces();
      blocks.forEach((kind, index) => {
        if (kind === AIR) return;
        const cell = this.cellOf(index);
        const rgb = palette[kind].clone().multiplyScalar((cell[0] + cell[1] + cell[2]) % 2 ? 1 : 0.95);
        const who = touched[index];
        const line = who ? tints[who].clone().lerp(rgb, 0.25) : rgb.clone().multiplyScalar(0.7);
        SIDES.forEach(([out], side) => {
          const next = this.at(cell.map((c, axis) => c + out[axis]));
          if (next !== AIR && (next !== glass || kind === glass)) return;
          if (kind === glass) clear.add(cell, side, rgb, 0.5, 0, line);
          else solid.add(cell, side, rgb, 1, 0, line);
        });
      });
      const shown = new Map(ghosts.filter(([, , chance]) => chance >= this.threshold).map((each) => [each[0], each]));
      for (const [index, kind, chance] of shown.values()) {
        const cell = this.cellOf(index);
        SIDES.forEach(([out], side) => {
          const next = cell.map((c, axis) => c + out[axis]);
          const inside = next.every((c, axis) => c >= 0 && c < shape[axis]);
          if (inside && shown.get(this.index(next))?.[1] === kind) return;
          ghost.add(cell, side, palette[kind], 0.12 + 0.55 * chance ** 2, 0.04, palette[kind]);
        });
      }
      this.solid = solid.mesh(false);
      this.glass = clear.mesh(true);
      this.ghost = ghost.mesh(true);
      this.content.add(this.solid, solid.edges(0.55), this.glass, clear.edges(0.6), this.ghost, ghost.edges(0.5));
      if (goal && this.outline) {
        const lines = new Faces();
        goal.forEach((kind, index) => {
          if (kind === blocks[index] || kind === AIR) return;
          for (let side = 0; side < 6; side++) {
            lines.add(this.cellOf(index), side, palette[kind], 1, 0.03, palette[kind].clone().multiplyScalar(0.45));
          }
        });
        this.content.add(lines.edges(0.75));
      }
      for (const [cell, kind] of waiting) this.content.add(frame(cell, 1.04, kind === AIR ? "#d64545" : players[0], 1));
      if (intent) this.content.add(frame(intent, 1.1, players[1], 1));
      feet.forEach((cell, player) => {
        if (cell[1] < 0) return;
        for (const [width, height, up, light] of [[0.56, 1.05, 0.53, 0], [0.48, 0.48, 1.35, 0.35]]) {
          const colour = tints[player + 1].clone().lerp(new THREE.Color("#ffffff"), light);
          const part = new THREE.Mesh(
            new THREE.BoxGeometry(width, height, width),
            new THREE.MeshBasicMaterial({ color: colour, transparent: true, opacity: 0.92 }),
          );
          part.position.set(cell[0] + 0.5, cell[1] + up, cell[2] + 0.5);
          const outline = new THREE.LineSegments(
            new THREE.EdgesGeometry(part.geometry),
            new THREE.LineBasicMaterial({ color: colour.clone().multiplyScalar(0.5) }),
          );
          outline.position.copy(part.position);
          part.renderOrder = 1;
          this.content.add(part, outline);
        }
      });
      if (!this.placed) {
        this.placed = true;
        this.home();
        this.controls.addEventListener("start", () => (this.moved = true));
      }
      this.draw();
    },
    // The face under the pointer: of a guess when guesses are judged, of a block otherwise.
    under(event) {
      if (!this.solid) return null;
      const box = this.$el.getBoundingClientRect();
      const ray = new THREE.Raycaster();
      const x = ((event.clientX - box.left) / box.width) * 2 - 1;
      const y = 1 - ((event.clientY - box.top) / box.height) * 2;
      ray.setFromCamera(new THREE.Vector2(x, y), this.camera);
      const judging = this.tool === "yes" || this.tool === "no";
      const meshes = judging ? [this.ghost, this.solid] : [this.solid, this.glass];
      const hit = ray.intersectObjects(meshes.filter((mesh) => mesh.cells.length))[0];
      if (!hit) return null;
      const [cell, side] = hit.object.cells[Math.floor(hit.faceIndex / 2)];
      return { cell, beside: cell.map((c, axis) => c + SIDES[side][0][axis]), guess: hit.object === this.ghost };
    },
    released(event) {
      const pressed = this.pressed;
      this.pressed = null;
      if (!pressed || pressed.id !== event.pointerId) return;
      if (Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > STILL) return;
      const found = this.under(event);
      if (!found) return;
      const { cell, beside, guess } = found;
      if (this.tool === "yes" || this.tool === "no") {
        const known = guess && this.world.ghosts.find(([index]) => index === this.index(cell));
        const kind = known ? known[1] : this.at(cell);
        this.$emit("say", { do: "judge", cell, kind, right: this.tool === "yes" });
      } else if (this.tool === "break" || event.button === 2 || event.shiftKey) {
        this.$emit("say", { do: "break", cell });
      } else if (event.button === 0) {
        this.$emit("say", { do: "place", cell: beside, kind: this.kind });
      }
    },
    point(event) {
      const found = this.under(event);
      if (!found) return this.pointAt(null);
      const breaking = this.tool === "break" || event.shiftKey;
      this.pointAt(found.guess || breaking || this.tool !== "build" ? found.cell : found.beside);
    },
    pointAt(cell) {
      if (String(cell) === String(this.pointed)) return;
      this.pointed = cell;
      this.clear(this.pointer);
      const colours = { build: "#2d2a26", break: "#d64545", yes: "#2f9e5b", no: "#d64545" };
      if (cell) this.pointer.add(frame(cell, 1.02, colours[this.tool], 0.9));
      this.draw();
      this.$emit("point", cell);
    },
    // Where a cell's side is on the screen, for tests.
    place(cell, side) {
      const [out] = SIDES[side];
      const spot = new THREE.Vector3(...cell.map((c, axis) => c + 0.5 + 0.5 * out[axis])).project(this.camera);
      const box = this.$el.getBoundingClientRect();
      return [box.left + ((spot.x + 1) / 2) * box.width, box.top + ((1 - spot.y) / 2) * box.height];
    },
  },
};
