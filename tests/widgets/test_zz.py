from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
def test_a(show, qtbot):
    s=show("local:demo","practice"); s.compare.prompt_box.editor.setFocus()
    for _ in range(22):
        w=QApplication.focusWidget(); print(type(w).__name__, w.accessibleName()); qtbot.keyClick(w, Qt.Key.Key_Tab)
